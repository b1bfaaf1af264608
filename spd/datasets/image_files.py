"""Which files of a folder are images, and the one way in which they are opened."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# Of a file's content, whatever its name says. Pillow knows many more, some of which start a program
# (PostScript: Ghostscript).
FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


class ImageError(ValueError):
    """A file that is no image to work with: `reason` says why, the message names it too."""

    def __init__(self, name: object, reason: str):
        self.reason = reason
        super().__init__(f"{name}: {reason}")


@contextlib.contextmanager
def open_image(file: str | os.PathLike[str] | IO[bytes], name: object = None) -> Iterator[Any]:
    """Opens an image (PIL.Image.Image) for a `with` block that decodes it.

    Whatever goes wrong, inside the block too, becomes ImageError, which names the file (`name`, where it
    comes as an open file): no image of FORMATS, damaged or cut off, more than 178,956,970 pixels (Pillow's
    bound on decompression bombs), several frames or pages, of which one would have to be chosen. A missing
    file stays FileNotFoundError.
    """
    from PIL import Image, UnidentifiedImageError

    name = file if name is None else name
    try:
        with Image.open(file, formats=FORMATS) as image:
            # MPO: a camera's JPEG with previews behind it, read by the reader of JPEG.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ImageError(name, f"has {image.n_frames} frames; keep the one that is meant")
            yield image
    except (FileNotFoundError, ImageError):
        raise
    except MemoryError:
        raise ImageError(name, "is too large for the memory that is left") from None
    except UnidentifiedImageError:
        raise ImageError(name, f"cannot be decoded (no image of {', '.join(FORMATS)})") from None
    except Exception as error:  # Pillow raises whatever the damage leads to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(name, f"cannot be decoded ({reason})") from error


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
