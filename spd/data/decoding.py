"""Reading an image file as 8-bit RGB."""

from pathlib import Path

import numpy as np
from PIL import Image

from spd.data.image_files import open_image
from spd.data.limits import MAX_PIXELS


def read_rgb(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image as stored, as 8-bit RGB: an EXIF orientation is ignored, since masks are drawn on the stored
    pixels.

    Grey is repeated in three channels, a palette is looked up, 16-bit grey is divided by 257 and rounded,
    CMYK is converted by Pillow without a colour profile, alpha is dropped. Raises ValueError, naming the
    file, for one that cannot be decoded or has more than `max_pixels` pixels, and for 32-bit integers and
    floats, which have no defined range.
    """
    with open_image(path, max_pixels=max_pixels) as image:
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.uint32) + 128) // 257  # 65535 -> 255, rounded to nearest
            return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels have no defined range; convert it to 8- or 16-bit")
        return image.convert("RGB")
