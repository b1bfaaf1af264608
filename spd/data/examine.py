"""What each file of a data set shows, looked at once, whatever the number of its setups."""

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from spd.data.image_files import ImageError, open_image
from spd.data.manifest import Manifest
from spd.data.masks import drawn_in_alpha, read_values
from spd.data.unused import Unused, unused
from spd.tensors import open_tensors, write_tensors

THUMBNAIL = 64  # px
PNG_BEGIN, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
MISSING = "missing"
UPRIGHT = 1  # EXIF's orientation
LARGEST = 2**31 - 1  # that is told of a mask
ORIENTATION = 0x0112  # EXIF's tag


class ImageFile(NamedTuple):
    """One image: width and height in pixels as stored (0 where it cannot be read), SHA-256 of its bytes
    (b'' where missing), its place in `thumbnails` (-1: none), what is wrong with it (''; `MISSING`), its EXIF
    orientation (1: upright, 2 to 8: mirrored or turned), and the largest value of a 16-bit image (-1: it has
    8 bits)."""

    width: int
    height: int
    digest: bytes
    thumbnail: int
    reason: str
    orientation: int = UPRIGHT
    largest: int = -1


class MaskFile(NamedTuple):
    """One mask: width and height in pixels, how many are above the threshold, what is wrong with it, whether
    all pixels of its border are above the threshold, its largest value, and whether its transparency, which
    is ignored, shows something (looked at where few or most pixels are marked)."""

    width: int
    height: int
    marked: int
    reason: str
    framed: bool = False
    largest: int = 0
    alpha: bool = False


@dataclass(frozen=True)
class Examined:
    """images, masks: by path, as in the manifest; thumbnails: uint8 (M, 64, 64), grey; mask_threshold: the
    one that `marked` was counted with; unused: what else lies in the folder."""

    images: dict[str, ImageFile]
    masks: dict[str, MaskFile]
    thumbnails: np.ndarray
    mask_threshold: int
    unused: tuple[Unused, ...] = ()


def examine(manifests: Sequence[Manifest], *, workers: int | None = None, progress: bool = True) -> Examined:
    """Decodes every image and mask of some setups of one data set once, and looks what else lies in its
    folder, if all manifests come from their readers (`Manifest.left_out`).

    Nothing is refused here: what cannot be read is noted for `spd.data.checks`. Thumbnails are made of
    objects that lie on both sides of a split. workers: threads (None: one per usable core; decoding runs
    outside the interpreter's lock).
    """
    root, threshold, bound = manifests[0].root, manifests[0].mask_threshold, manifests[0].max_pixels
    if any((m.root, m.mask_threshold) != (root, threshold) for m in manifests):
        raise ValueError("the manifests are not of one data set: their roots or mask thresholds differ")
    compared, masks = {}, {}
    for manifest in manifests:
        both = objects_in_both_splits(manifest)
        for row in manifest:
            compared[row.image] = compared.get(row.image, False) or row.object in both
            if row.mask:
                masks[row.mask] = None
    name, total = manifests[0].meta.get("dataset", root.name), len(compared) + len(masks)
    with (
        ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool,
        tqdm(total=total, desc=f"check {name}", unit="file", disable=not progress) as bar,
    ):
        images, thumbnails = {}, []
        look = _bounded_map(
            pool, lambda item: _look_at(root / item[0], item[1], bound), list(compared.items())
        )
        for path, (image, thumbnail) in zip(compared, look, strict=True):
            place = -1 if thumbnail is None else len(thumbnails)
            thumbnails += [] if thumbnail is None else [thumbnail]
            images[path] = image._replace(thumbnail=place)
            bar.update()
        look = _bounded_map(pool, lambda path: _look_at_mask(root / path, threshold, bound), list(masks))
        for path, found in zip(list(masks), look, strict=True):
            masks[path] = found
            bar.update()
    stacked = np.stack(thumbnails) if thumbnails else np.zeros((0, THUMBNAIL, THUMBNAIL), np.uint8)
    return Examined(images, masks, stacked, threshold, _unused(manifests, {*images, *masks}))


def _unused(manifests: Sequence[Manifest], used: set[str]) -> tuple[Unused, ...]:
    if any(manifest.left_out is None for manifest in manifests):
        return ()
    left_out = {path for manifest in manifests for path in manifest.left_out}
    return tuple(unused(manifests[0].root, used, left_out, manifests[0].meta.get("reader", "")))


def write_examined(examined: Examined, path: str | os.PathLike[str]) -> None:
    """Writes one safetensors file; the same content gives the same bytes."""
    images, masks = examined.images, examined.masks
    digests = b"".join(image.digest or bytes(32) for image in images.values())
    reasons = {
        kind: {path: file.reason for path, file in files.items() if file.reason}
        for kind, files in (("images", images), ("masks", masks))
    }
    write_tensors(
        path,
        {
            "images": _text(images),
            "image_facts": _table(
                [(i.width, i.height, i.orientation, i.largest) for i in images.values()], 4
            ),
            "digests": np.frombuffer(digests, np.uint8).reshape(-1, 32),
            "places": np.array([image.thumbnail for image in images.values()], np.int32),
            "thumbnails": examined.thumbnails,
            "masks": _text(masks),
            "mask_facts": _table(
                [(m.width, m.height, m.marked, m.framed, m.largest, m.alpha) for m in masks.values()], 6
            ),
        },
        {
            "mask_threshold": str(examined.mask_threshold),
            "reasons": json.dumps(reasons),
            "unused": json.dumps(examined.unused),
        },
    )


def read_examined(path: str | os.PathLike[str]) -> Examined:
    """Reads what `write_examined` wrote. Raises ValueError where another version of it did."""
    tensors, metadata = open_tensors(path)
    if "image_facts" not in tensors or "unused" not in metadata:
        raise ValueError(f"{path}: was written by another version; delete it, and it is made again")
    reasons = json.loads(metadata["reasons"])
    images, masks = {}, {}
    columns = (tensors[name] for name in ("image_facts", "digests", "places"))
    facts = zip(_names(tensors["images"]), *columns, strict=True)
    for name, (width, height, orientation, largest), digest, place in facts:
        reason = reasons["images"].get(name, "")
        digest = b"" if reason == MISSING else digest.tobytes()
        images[name] = ImageFile(
            int(width), int(height), digest, int(place), reason, int(orientation), int(largest)
        )
    for name, numbers in zip(_names(tensors["masks"]), tensors["mask_facts"], strict=True):
        width, height, marked, framed, largest, alpha = (int(number) for number in numbers)
        reason = reasons["masks"].get(name, "")
        masks[name] = MaskFile(width, height, marked, reason, bool(framed), largest, bool(alpha))
    rest = tuple(Unused(*values) for values in json.loads(metadata["unused"]))
    return Examined(images, masks, tensors["thumbnails"], int(metadata["mask_threshold"]), rest)


def objects_in_both_splits(manifest: Manifest) -> set[str]:
    """Objects with images in train and in test, whose images are compared; of class folders none: a million
    photographs would be compared with fifty thousand."""
    if manifest.meta.get("reader") == "class_folders":
        return set()
    rows = manifest.rows
    train, test = (set(rows.loc[rows["split"] == split, "object"]) for split in ("train", "test"))
    return train & test


def _bounded_map(pool: ThreadPoolExecutor, function: Callable, items: Sequence) -> Iterator:
    block = 64  # bounds what is decoded but not yet taken
    for start in range(0, len(items), block):
        yield from pool.map(function, items[start : start + block])


def _look_at(path: Path, with_thumbnail: bool, max_pixels: int) -> tuple[ImageFile, np.ndarray | None]:
    digest = b""
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).digest()
        seen, thumbnail = _decode(data, with_thumbnail, max_pixels)
        _require_end(data)
    except FileNotFoundError:
        return ImageFile(0, 0, b"", -1, MISSING), None
    except ImageError as error:
        return ImageFile(0, 0, digest, -1, error.reason), None
    except OSError as error:
        return ImageFile(0, 0, digest, -1, _reason(error)), None
    return seen._replace(digest=digest), thumbnail


def _decode(data: bytes, with_thumbnail: bool, max_pixels: int) -> tuple[ImageFile, np.ndarray | None]:
    with open_image(io.BytesIO(data), "", max_pixels=max_pixels) as image:
        seen = ImageFile(image.width, image.height, b"", -1, "", _orientation(image))
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels have no defined range; convert it to 8- or 16-bit")
        deep = ";16" in f"{image.mode} {image.tile}"  # colour of 16 bits has no mode of its own
        # JPEG: all data are read, but only the coefficients are decoded that a small image needs.
        image.draft("L", (THUMBNAIL, THUMBNAIL))
        image.load()
        if deep:
            largest = int(np.asarray(image).max())
            seen = seen._replace(largest=largest if image.mode.startswith("I;16") else largest * 257)
        return seen, _thumbnail(image) if with_thumbnail else None


def _orientation(image: Image.Image) -> int:
    # Pillow itself turns TIFFs, and would decode a PNG to look for EXIF data behind its pixels.
    if image.format == "TIFF" or "exif" not in image.info:
        return UPRIGHT
    try:
        stated = image.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # whatever damaged metadata lead to; the pixels are what counts
        return UPRIGHT
    return stated if stated in range(1, 9) else UPRIGHT


def _require_end(data: bytes) -> None:
    # Pillow reads a PNG that lacks its last bytes, as libjpeg would not a JPEG.
    if data.startswith(PNG_BEGIN) and data.rfind(PNG_END) < 0:
        raise ImageError("", "image file is truncated: it has no end mark")


def _thumbnail(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(grey)


def _look_at_mask(path: Path, threshold: int, max_pixels: int) -> MaskFile:
    try:
        data = path.read_bytes()
        values = read_values(io.BytesIO(data), threshold, max_pixels=max_pixels)
        _require_end(data)
        mask = values > threshold
        marked = int(mask.sum())
        framed = all(bool(edge.all()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        doubtful = framed or not 0 < marked <= mask.size / 2
        alpha = doubtful and drawn_in_alpha(io.BytesIO(data), max_pixels=max_pixels)
    except FileNotFoundError:
        return MaskFile(0, 0, 0, MISSING)
    except ImageError as error:
        return MaskFile(0, 0, 0, error.reason)
    except OSError as error:
        return MaskFile(0, 0, 0, _reason(error))
    largest = min(max(math.ceil(values.max()), 0), LARGEST)
    return MaskFile(mask.shape[1], mask.shape[0], marked, "", framed, largest, alpha)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _text(names: dict[str, object]) -> np.ndarray:
    return np.frombuffer("\n".join(names).encode(), np.uint8)  # names have no control characters


def _names(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n") if text.size else []


def _table(rows: list[tuple[int, ...]], columns: int) -> np.ndarray:
    return np.array(rows, np.int32).reshape(-1, columns)
