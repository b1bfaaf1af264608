"""The manifest: one CSV that lists a data set's images, the only door to data for everything downstream."""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from spd.data.limits import MAX_PIXELS, RESERVED_OBJECTS
from spd.files import atomic_write

COLUMNS = ("object", "split", "label", "defect", "image", "mask")
SPLITS = ("train", "test")
LABELS = ("normal", "anomaly")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LONGEST_PATH = 1024  # characters; file systems take 4,096 bytes
FEWEST = 2
"""Training images of an object that a 1-class detector needs: of one alone nothing varies."""
SETUPS = ("1cls", "2cls_highshot", "2cls_fewshot")


class Row(NamedTuple):
    """One image; `image` and `mask` are posix paths relative to the root, `mask` and `defect` may be ''."""

    object: str
    split: str
    label: str
    defect: str
    image: str
    mask: str


@dataclass(frozen=True)
class Manifest:
    """Images of one data set in one setup.

    rows: DataFrame of str with the columns of `Row`, sorted by (object, split, label, image), index 0..N-1.
    root: folder that `image` and `mask` are relative to, as given (relative: to the working folder).
    mask_threshold: a mask pixel above it is anomalous (0 for class ids, 127 for grey masks).
    meta: JSON-able facts such as dataset, setup, reader, fingerprint, licence, notice.
    left_out: paths below the root that the reader passes over on purpose, folders with a `/` at the end: what
    else it made no row of was overlooked. None: not known (the manifest was read from its file, or is a part
    of another).
    """

    rows: pd.DataFrame
    root: Path
    mask_threshold: int
    meta: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Yields `Row`s in the manifest's order (attribute access on them is safe, unlike `series.mask`)."""
        return map(Row._make, self.rows[list(COLUMNS)].itertuples(index=False, name=None))

    @property
    def objects(self) -> list[str]:
        """Object names, sorted."""
        return sorted(self.rows["object"].unique())

    @property
    def max_pixels(self) -> int:
        """Pixels of an image above which it is refused as a decompression bomb."""
        return self.meta.get("max_pixels", MAX_PIXELS)

    @property
    def split_hash(self) -> str:
        """SHA-256 of the CSV's bytes: the same on every machine for the same images in the same split."""
        return hashlib.sha256(self.csv().encode()).hexdigest()

    def csv(self) -> str:
        """The CSV's text, with LF line ends."""
        text = io.StringIO()
        self.rows[list(COLUMNS)].to_csv(text, index=False, lineterminator="\n")
        return text.getvalue()

    def image_path(self, row: Row) -> Path:
        """Path of a row's image."""
        return self.root / row.image

    def mask_path(self, row: Row) -> Path | None:
        """Path of a row's mask, or None where it has none."""
        return self.root / row.mask if row.mask else None

    def part(self, objects: Sequence[str]) -> "Manifest":
        """The rows of some objects. Raises ValueError for an object that is not there."""
        return self.where(self.rows["object"].isin(_known(objects, self.objects)))

    def where(self, selected: pd.Series) -> "Manifest":
        """The rows for which the boolean series (aligned with `rows`) is true."""
        return Manifest(
            self.rows[selected].reset_index(drop=True), self.root, self.mask_threshold, dict(self.meta)
        )

    def counts(self) -> pd.DataFrame:
        """Images per object: columns object, train_normal, train_anomaly, test_normal, test_anomaly (int)."""
        kind = self.rows["split"] + "_" + self.rows["label"]
        table = pd.crosstab(self.rows["object"], kind)
        table = table.reindex(columns=[f"{s}_{w}" for s in SPLITS for w in LABELS], fill_value=0)
        return table.rename_axis(columns=None).reset_index()


def make(
    rows: Sequence[Sequence[str]] | pd.DataFrame,
    root: str | os.PathLike[str],
    mask_threshold: int,
    *,
    objects: Sequence[str] | None = None,
    where: str = "",
    left_out: Sequence[str] | None = None,
    **meta: Any,
) -> Manifest:
    """Builds a validated, sorted manifest.

    rows: tuples in the order of `COLUMNS`, or a DataFrame with these columns, whose index is the line in its
    file where it is named `line`; objects: keep only these (None: all); where: what to name in an error (the
    file or folder that the rows were read from); left_out: as in `Manifest`, to which the files of other
    objects are added.
    Raises ValueError that names the row for an unknown word, an unsafe path or an image listed twice.
    """
    where = where or str(root)
    try:
        table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)
    except UnicodeEncodeError as error:  # a file name that is not UTF-8
        raise ValueError(f"{where}: the name {error.object!r} is not UTF-8; rename the file") from None
    table = table.fillna("")
    if objects is not None:
        wanted = table["object"].isin(_known(objects, sorted(table["object"].unique()), where))
        if left_out is not None:
            others = table[~wanted]
            left_out = [*left_out, *others["image"], *(mask for mask in others["mask"] if mask)]
        table = table[wanted]
    if table.empty:
        raise ValueError(f"{where}: no images found")
    _validate(table, where)
    table = table.sort_values(["object", "split", "label", "image"], kind="stable").reset_index(drop=True)
    table.index.name = None
    return Manifest(table, Path(root), mask_threshold, meta, None if left_out is None else tuple(left_out))


def write(manifest: Manifest, csv_path: str | os.PathLike[str]) -> None:
    """Writes the CSV and, beside it, `<stem>.json` with root, mask_threshold, split_hash, counts and `meta`.

    The sidecar holds nothing that changes between identical runs. Each appears whole or not at all, the CSV
    last.
    """
    csv_path = Path(csv_path)
    counts = manifest.counts().set_index("object")
    sidecar = {
        **manifest.meta,
        "root": manifest.root.as_posix(),
        "mask_threshold": manifest.mask_threshold,
        "split_hash": manifest.split_hash,
        "images": len(manifest),
        "counts": {name: {k: int(v) for k, v in row.items()} for name, row in counts.iterrows()},
    }
    atomic_write(csv_path.with_suffix(".json"), json.dumps(sidecar, indent=2, sort_keys=True) + "\n")
    atomic_write(csv_path, manifest.csv())


def read(csv_path: str | os.PathLike[str]) -> Manifest:
    """Reads what `write` wrote. Raises ValueError where CSV and sidecar do not belong together."""
    csv_path = Path(csv_path)
    sidecar_path = csv_path.with_suffix(".json")
    if not sidecar_path.exists():
        raise ValueError(f"{csv_path}: its sidecar {sidecar_path.name} is missing; make the manifest again")
    try:
        meta = json.loads(sidecar_path.read_text(encoding="utf-8"))
        stated, root, threshold = (meta.pop(key) for key in ("split_hash", "root", "mask_threshold"))
        rows = pd.read_csv(csv_path, dtype=str, keep_default_na=False, encoding="utf-8", index_col=False)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{csv_path} or {sidecar_path.name}: damaged ({reason}); make the manifest again"
        ) from None
    if tuple(rows.columns) != COLUMNS:
        raise ValueError(
            f"{csv_path}: columns are {list(rows.columns)!r:.200}; expected {', '.join(COLUMNS)}"
        )
    meta = {k: v for k, v in meta.items() if k not in ("images", "counts")}
    manifest = make(rows, root, threshold, where=str(csv_path), **meta)
    if manifest.split_hash != stated:
        raise ValueError(
            f"{csv_path}: its rows are not those {sidecar_path.name} was written for; make the manifest again"
        )
    return manifest


def _known(wanted: Sequence[str], present: Sequence[str], where: str = "manifest") -> list[str]:
    missing = sorted(set(wanted) - set(present))
    if missing:
        raise ValueError(
            f"{where}: no object {', '.join(missing)}; there are {', '.join(present[:40])}"
            + (f" and {len(present) - 40} more" if len(present) > 40 else "")
        )
    return list(wanted)


def _validate(table: pd.DataFrame, where: str) -> None:
    def refuse(bad: pd.Series, reason: str) -> None:
        if bad.any():
            row = table[bad].iloc[0].to_dict()
            line = ""
            if table.index.name == "line":
                lines = ", ".join(map(str, table.index[bad][:5]))
                line = f"line {lines}{', ...' if bad.sum() > 5 else ''}: "
            raise ValueError(f"{where}: {line}{reason}: {str(row)[:400]} ({int(bad.sum())} such rows)")

    for column in COLUMNS:
        refuse(~table[column].map(_plain), f"{column} must have no control characters")
    refuse(~table["split"].isin(SPLITS), f"split must be one of {', '.join(SPLITS)}")
    refuse(~table["label"].isin(LABELS), f"label must be one of {', '.join(LABELS)}")
    refuse(
        table["object"].isin(RESERVED_OBJECTS),
        f"object must be a name other than {', '.join(map(repr, RESERVED_OBJECTS))}",
    )
    refuse(table["image"] == "", "image must not be empty")
    for column in ("image", "mask"):
        refuse(
            ~table[column].map(_inside),
            f"{column} must be a path below the root, with forward slashes and without '..', of at most "
            f"{LONGEST_PATH} characters",
        )
    refuse(table["image"].duplicated(keep=False), "the same image is listed more than once")


def _plain(text: str) -> bool:
    return _CONTROL.search(text) is None


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return (
        len(path) <= LONGEST_PATH and "\\" not in path and not pure.is_absolute() and ".." not in pure.parts
    )
