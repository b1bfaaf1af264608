"""VisA's layout (amazon-science/spot-diff): `split_csv/<setup>.csv`, `<object>/image_anno.csv` and images."""

import os
from collections.abc import Sequence
from pathlib import Path

from spd.data.csv_file import read_table
from spd.data.image_files import composed
from spd.data.manifest import SETUPS, Manifest
from spd.data.readers import split_csv


def read(
    root: str | os.PathLike[str],
    setup: str = "1cls",
    *,
    objects: Sequence[str] | None = None,
    mask_threshold: int = 0,
) -> Manifest:
    """Reads one setup of an unpacked VisA archive, which has no wrapping folder.

    `defect` is the label of image_anno.csv: one name, or several joined by commas; '' for normal images.
    Images are keyed by path, since basenames collide between Normal and Anomaly in five objects. Masks hold
    class ids, hence the threshold 0. Raises ValueError where the folder has another layout.
    """
    if setup not in SETUPS:
        raise ValueError(f"setup {setup!r} is unknown; VisA has {', '.join(SETUPS)}")
    csv = Path(root) / "split_csv" / f"{setup}.csv"
    if not csv.is_file():
        raise ValueError(
            f"{csv}: not found; VisA's layout has split_csv/ beside the object folders, at the root"
        )
    rows = split_csv.read_rows(csv, defect_component=None)
    present = sorted(rows["object"].unique())
    defects = {}
    for name in present if objects is None else [o for o in objects if o in present]:
        defects.update(_defects(Path(root), name))
    rows["defect"] = [
        defects.get(composed(image), "") if label == "anomaly" else ""
        for image, label in zip(rows["image"], rows["label"], strict=True)
    ]
    return split_csv.to_manifest(rows, root, csv, setup, objects, mask_threshold, reader="visa")


def _defects(root: Path, name: str) -> dict[str, str]:
    path = root / name / "image_anno.csv"
    if not path.is_file():
        return {}
    table = read_table(path)
    missing = {"image", "label"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(sorted(missing))}; "
            f"it has {', '.join(f'{c!r:.40}' for c in table.columns[:10])}"
        )
    # Paths are relative to the root in VisA; relative to the object folder is accepted.
    paths = [p if p.startswith(f"{name}/") else f"{name}/{p}" for p in table["image"]]
    return dict(zip(map(composed, paths), table["label"], strict=True))
