"""Class folders as ImageNet has them, `train/<class>/` or `<class>/`: images to pre-train on, and beside
`train/` those of `val/<class>/` to judge pre-trainings on."""

import os
from collections.abc import Sequence
from pathlib import Path

from spd.data.image_files import folders_in, holds, images_in
from spd.data.manifest import Manifest, make


def read(
    root: str | os.PathLike[str],
    setup: str = "1cls",
    *,
    objects: Sequence[str] | None = None,
    mask_threshold: int = 127,
) -> Manifest:
    """Reads every image of every class folder as a normal training image; the object is the class. Images of
    these classes under `val/` are the split `test`.

    Raises ValueError that says which of ImageNet's two forms was found where the folder is not yet unpacked.
    """
    root = Path(root)
    if root.is_file():
        raise ValueError(
            f"{root}: is a file; give ImageNet's tar of tars as `archive: {{file: {root}, nested: true}}`, "
            "or `root:` as a folder that holds train/<wnid>/"
        )
    below = "train/" if (root / "train").is_dir() else ""
    folder = root / below
    tars = sorted(p.name for p in folder.glob("*.tar")) if folder.is_dir() else []
    classes = folders_in(folder)
    rows = [
        (name, split, "normal", "", f"{place}{name}/{image}", "")
        for place, split in ((below, "train"), *((("val/", "test"),) if below else ()))
        for name in classes
        for image in images_in(root / place / name)
    ]
    if not rows:
        found = f"none found; {_level(folder)}"
        if tars:
            found = f"but it holds {len(tars)} tar file{'s' * (len(tars) > 1)} not yet unpacked ({tars[0]}); "
            found += (
                "unpack one a class, or give ImageNet's tar of tars as `archive: {file: ..., nested: true}`"
            )
        raise ValueError(f"{folder}: expected <class>/ folders with images, {found}")
    return make(
        rows,
        root,
        mask_threshold,
        objects=objects,
        where=str(root),
        left_out=(),
        reader="class_folders",
        setup=setup,
    )


def _level(folder: Path) -> str:
    """Where the images lie instead of directly in class folders."""
    if count := len(images_in(folder)):
        return f"{count:,} images lie in the folder itself: put those of each class in a folder of its name"
    for name in folders_in(folder):
        for inner in folders_in(folder / name):
            if count := len(images_in(folder / name / inner)):
                return (
                    f"{count:,} images lie one level deeper, in {name}/{inner}/: move them up into {name}/, "
                    "or give a folder of links"
                )
    return next((f"{name}: {holds(folder / name)}" for name in folders_in(folder)), holds(folder))
