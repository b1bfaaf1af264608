"""MVTec-AD's layout: `train/good`, `test/{good,<defect>}`, `ground_truth/<defect>` in each object folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from spd.data.image_files import composed, folders_in, holds, images_in
from spd.data.manifest import Manifest, make


def read(
    root: str | os.PathLike[str],
    setup: str = "1cls",
    *,
    objects: Sequence[str] | None = None,
    mask_threshold: int = 127,
) -> Manifest:
    """Reads MVTec-AD, or a folder of your own in its layout.

    root: the folder of the object folders, or one object folder itself, which then gives the object its name.
    `defect` is the folder's name. A mask is the file in ground_truth/<defect>/ with the image's stem, with or
    without the suffix `_mask`, of any image format; '' where there is none. Raises ValueError where the
    layout is another.
    """
    if setup != "1cls":
        raise ValueError(
            f"setup {setup!r}: MVTec-AD's layout defines 1cls alone (its train folder holds no anomalies)"
        )
    root = Path(root)
    if (root / "train").is_dir() and (root / "test").is_dir():
        # What lies beside the one object folder is no part of the data set.
        left_out = [
            f"{entry.name}/" if entry.is_dir() else entry.name
            for entry in root.parent.iterdir()
            if entry.name != root.name
        ]
        root, found = root.parent, [root.name]
        if objects is not None and list(objects) != found:
            raise ValueError(
                f"{root / found[0]}: is the folder of the object {found[0]}, asked for: {', '.join(objects)}"
            )
    else:
        found = [name for name in folders_in(root) if (root / name / "train").is_dir()]
        if not found:
            inner = [name for name in folders_in(root) if any((root / name).glob("*/train"))]
            hint = f"; did you mean {root / inner[0]}?" if inner else ""
            raise ValueError(
                f"{root}: no <object>/train/good in it, which is MVTec-AD's layout{hint}; {holds(root)}"
            )
        left_out = [] if objects is None else [f"{name}/" for name in found if name not in objects]
    used = [name for name in found if objects is None or name in objects]
    rows = [row for name in used for row in _object(root, name)]
    if objects is not None and set(objects) - set(found):
        missing = ", ".join(sorted(set(objects) - set(found)))
        raise ValueError(f"{root}: no object {missing}; there are {', '.join(found)}")
    return make(rows, root, mask_threshold, where=str(root), left_out=left_out, reader="mvtec", setup=setup)


def _object(root: Path, name: str) -> list[tuple[str, ...]]:
    folder = root / name
    others = [f for f in folders_in(folder / "train") if f != "good"]
    if others:
        raise ValueError(f"{folder / 'train' / others[0]}: MVTec-AD's layout has train/good alone")
    rows = [
        (name, "train", "normal", "", f"{name}/train/good/{image}", "")
        for image in images_in(folder / "train/good")
    ]
    if not rows:
        raise ValueError(f"{folder / 'train' / 'good'}: no images; {holds(folder / 'train' / 'good')}")
    for defect in folders_in(folder / "test"):
        truth = {composed(Path(f).stem): f for f in images_in(folder / "ground_truth" / defect)}
        for image in images_in(folder / "test" / defect):
            path = f"{name}/test/{defect}/{image}"
            if defect == "good":
                rows.append((name, "test", "normal", "", path, ""))
                continue
            stem = composed(Path(image).stem)
            mask = truth.get(f"{stem}_mask") or truth.get(stem)
            rows.append(
                (
                    name,
                    "test",
                    "anomaly",
                    defect,
                    path,
                    f"{name}/ground_truth/{defect}/{mask}" if mask else "",
                )
            )
    return rows
