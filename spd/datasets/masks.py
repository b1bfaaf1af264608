"""Masks as numbers: 1 where a pixel is anomalous."""

import os
from typing import IO

import numpy as np

from spd.datasets.image_files import open_image


def read_mask(path: str | os.PathLike[str] | IO[bytes], threshold: int) -> np.ndarray:
    """Reads a mask as uint8 (H, W) in {0, 1}: 1 where the value is above `threshold`.

    path: the file's, or an open file. threshold 0 is for class ids (VisA: 0 is background, stray ids are
    harmless), 127 for grey masks, whose soft edges and compression noise it cuts off. Colour masks count by
    their largest channel, without alpha; a palette image counts by its index where ids are asked for
    (threshold 0), else by its colours; a 1-bit mask is 0 or 255.
    Raises ValueError, naming the file, where it cannot be decoded or holds values that are not finite.
    """
    with open_image(path) as image:
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
    return (values > threshold).astype(np.uint8)
