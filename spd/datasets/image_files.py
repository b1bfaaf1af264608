"""Which files of a folder are images."""

import os
from pathlib import Path

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def is_image(name: str) -> bool:
    """Whether a name has an image's extension, in any case; hidden files (macOS's `._0.png`) do not count."""
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def images_in(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the image files directly in `folder`, sorted; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if is_image(e.name) and e.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders_in(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the visible folders in `folder`, sorted. Raises ValueError where there is no such folder."""
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: no such folder")
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
