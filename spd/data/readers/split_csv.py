"""Your own data set as a CSV in VisA's split format: `object,split,label,image,mask`, optionally `defect`."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from spd.data.csv_file import read_table
from spd.data.image_files import as_on_disk
from spd.data.manifest import COLUMNS, Manifest, make

REQUIRED = ("object", "split", "label", "image")


def read(
    root: str | os.PathLike[str],
    setup: str = "1cls",
    *,
    csv: str | os.PathLike[str],
    objects: Sequence[str] | None = None,
    mask_threshold: int = 127,
    defect_component: int | None = None,
) -> Manifest:
    """Reads a split CSV.

    root: folder that the CSV's paths are relative to; csv: the file, relative to `root` unless absolute;
    defect_component: where the CSV has no column `defect`, the part of an anomaly's path that is its name
    (0 = first folder, negative counts from the file name); None leaves defects empty. The column `mask` may
    be missing.
    Raises ValueError naming the file and what is wrong in it.
    """
    path = Path(root) / csv
    return to_manifest(
        read_rows(path, defect_component), root, path, setup, objects, mask_threshold, reader="split_csv"
    )


def read_rows(path: Path, defect_component: int | None) -> pd.DataFrame:
    """The CSV's rows with the manifest's six columns, not yet validated; the index is the line."""
    table = read_table(path)
    missing = [c for c in REQUIRED if c not in table.columns]
    if missing:
        there = ", ".join(f"{name!r:.40}" for name in table.columns[:10])
        raise ValueError(
            f"{path}: no column {', '.join(missing)}; VisA's split format is object,split,label,image,mask, "
            f"and its columns, separated by {table.attrs['separator']}, are {there}"
        )
    if table.empty:
        raise ValueError(f"{path}: no images found, nothing follows its header")
    if "mask" not in table.columns:
        table["mask"] = ""
    if "defect" not in table.columns:
        table["defect"] = ""
        if defect_component is not None:
            anomalous = table["label"] == "anomaly"
            table.loc[anomalous, "defect"] = [
                _component(image, defect_component, path) for image in table.loc[anomalous, "image"]
            ]
    return table[list(COLUMNS)]


def to_manifest(
    rows: pd.DataFrame,
    root: str | os.PathLike[str],
    csv: Path,
    setup: str,
    objects: Sequence[str] | None,
    mask_threshold: int,
    reader: str,
) -> Manifest:
    """Validates the rows; a 1-class setup must not train on anomalies. Paths that differ from a file's name
    in their Unicode form alone are given the file's."""
    rows = rows.assign(
        **{part: [as_on_disk(root, path) for path in rows[part]] for part in ("image", "mask")}
    )
    trained = rows[(rows["split"] == "train") & (rows["label"] == "anomaly")]
    if setup == "1cls" and len(trained):
        raise ValueError(
            f"{csv}: {len(trained)} anomalous images in train ({trained['image'].iloc[0]} in line "
            f"{trained.index[0]}, ...); setup 1cls trains on normal images alone"
        )
    return make(
        rows,
        root,
        mask_threshold,
        objects=objects,
        where=str(csv),
        left_out=(),
        reader=reader,
        setup=setup,
    )


def _component(image: str, index: int, path: Path) -> str:
    try:
        return PurePosixPath(image).parts[index]
    except IndexError:
        raise ValueError(f"{path}: image {image} has no path component {index} (defect_component)") from None
