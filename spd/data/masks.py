"""Masks as numbers: 1 where a pixel is anomalous."""

import os
from typing import IO

import numpy as np

from spd.data.image_files import open_image
from spd.data.limits import MAX_PIXELS


def read_mask(
    path: str | os.PathLike[str] | IO[bytes], threshold: int, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Reads a mask as uint8 (H, W) in {0, 1}: 1 where the value is above `threshold`.

    path: the file's, or an open file. threshold 0 is for class ids (VisA: 0 is background, stray ids are
    harmless), 127 for grey masks, whose soft edges and compression noise it cuts off. Colour masks count by
    their largest channel, without alpha; a palette image counts by its index where ids are asked for
    (threshold 0), else by its colours; a 1-bit mask is 0 or 255.
    Raises ValueError, naming the file, where it cannot be decoded, has more than `max_pixels` pixels or holds
    values that are not finite.
    """
    return (read_values(path, threshold, max_pixels=max_pixels) > threshold).astype(np.uint8)


def read_values(
    path: str | os.PathLike[str] | IO[bytes], threshold: int, *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """The numbers (H, W) that `read_mask` compares with its threshold."""
    with open_image(path, max_pixels=max_pixels) as image:
        if image.mode == "1":
            values = np.asarray(image.convert("L"))
        elif image.mode in ("L", "I", "F", "I;16", "I;16B", "I;16L") or (
            image.mode == "P" and threshold == 0
        ):
            values = np.asarray(image)
        elif image.mode == "LA":
            values = np.asarray(image)[..., 0]
        else:
            values = np.asarray(image.convert("RGB")).max(axis=2)
        if image.mode == "F" and not np.isfinite(values).all():
            raise ValueError("values that are not finite")
    return values


def drawn_in_alpha(path: str | os.PathLike[str] | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether a mask's transparency, which `read_mask` ignores, is the same everywhere or shows something."""
    with open_image(path, max_pixels=max_pixels) as image:
        if not image.has_transparency_data:
            return False
        lowest, highest = image.convert("RGBA").getchannel("A").getextrema()
    return lowest != highest
