"""Which files of a folder are images, and the one way in which they are opened."""

import contextlib
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from spd.data.limits import MAX_PIXELS

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
def open_image(
    file: str | os.PathLike[str] | IO[bytes], name: object = None, *, max_pixels: int = MAX_PIXELS
) -> Iterator[Any]:
    """Opens an image (PIL.Image.Image) for a `with` block that decodes it.

    Whatever goes wrong, inside the block too, becomes ImageError, which names the file (`name`, where it
    comes as an open file): no image of FORMATS, damaged or cut off, more than `max_pixels` pixels (by default
    Pillow's bound on decompression bombs), several frames or pages, of which one would have to be chosen. A
    missing file stays FileNotFoundError.
    """
    from PIL import Image, UnidentifiedImageError

    name = file if name is None else name
    # Pillow has one bound for the whole process, warns above it and stops at twice its value. It is only ever
    # raised, so that threads do not disturb each other; the bound of this file is held against its header.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise Image.DecompressionBombError
            # MPO: a camera's JPEG with previews behind it, read by the reader of JPEG.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ImageError(name, f"has {image.n_frames} frames; keep the one that is meant")
            yield image
    except (FileNotFoundError, ImageError):
        raise
    except Image.DecompressionBombError:
        raise ImageError(
            name,
            f"has more than {max_pixels:,} pixels, the bound on decompression bombs; if it is meant to be so "
            "large, raise `max_pixels` of its data set",
        ) from None
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
            return sorted(e.name for e in entries if is_image(e.name) and is_file(e))
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders_in(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the visible folders in `folder`, sorted. Raises ValueError where there is no such folder."""
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: no such folder")
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and _is_folder(e))


def holds(folder: str | os.PathLike[str]) -> str:
    """What lies directly in a folder, for a message that no image was found there: `it holds 12 .gif files
    and 3 folders (night, ...); read are .png, ...`."""
    if not Path(folder).is_dir():
        return "there is no such folder"
    with os.scandir(folder) as entries:
        visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    folders = [e.name for e in visible if _is_folder(e)]
    files = Counter(extension(e.name) for e in visible if e.name not in folders)
    words = [f"{count:,} {kind} file{'s' * (count > 1)}" for kind, count in files.most_common(5)]
    if folders:
        words.append(f"{len(folders):,} folder{'s' * (len(folders) > 1)} ({', '.join(folders[:3])})")
    return f"it holds {' and '.join(words) or 'nothing'}; read are {', '.join(EXTENSIONS)}"


def extension(name: str) -> str:
    """`.gif` for `A.GIF`, `nameless` where there is none."""
    return PurePosixPath(name).suffix.lower() or "nameless"


def walk(folder: str | os.PathLike[str], skip: Collection[str] = ()) -> Iterator[tuple[str, os.DirEntry]]:
    """(path below `folder`, entry) of everything visible that is no folder, links to nothing included.

    Links to folders are followed once each. skip: paths that are passed over, folders with a `/` at the end.
    """
    return _walk(os.fspath(folder), "", frozenset(skip), frozenset())


def _walk(
    folder: str, prefix: str, skip: frozenset[str], seen: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, os.DirEntry]]:
    stat = os.stat(folder)  # noqa: PTH116
    here = (stat.st_dev, stat.st_ino)
    if here in seen:
        return  # a link to a folder above
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if f"{path}/" not in skip:
                    yield from _walk(entry.path, f"{path}/", skip, seen | {here})
            elif path not in skip:
                yield path, entry


def is_file(entry: os.DirEntry) -> bool:
    """Whether an entry is a file, or a link to one. A link to nothing or to itself is none."""
    try:
        return entry.is_file()
    except OSError:  # a link in a circle
        return False


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def as_on_disk(root: str | os.PathLike[str], path: str) -> str:
    """`path` below `root` in the spelling of the file system, where only its Unicode form differs.

    macOS writes an umlaut as two characters (NFD), a CSV as one (NFC). Where there is no such file, `path` as
    it is.
    """
    if path.isascii() or os.path.lexists(os.path.join(root, path)):  # noqa: PTH118
        return path
    at, found = Path(root), []
    for part in PurePosixPath(path).parts:
        if not (at / part).exists():
            try:
                part = next(name for name in os.listdir(at) if composed(name) == composed(part))  # noqa: PTH208
            except (OSError, StopIteration):
                return path
        at, found = at / part, [*found, part]
    return "/".join(found)


def composed(text: str) -> str:
    """A text in one Unicode form (NFC), for comparisons."""
    return unicodedata.normalize("NFC", text)
