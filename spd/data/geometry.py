"""One geometry for images and masks: resize, then centre crop."""

import cv2
import numpy as np
from PIL import Image

from spd.data.geometry_options import GeometryOptions

_PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_OPENCV = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


def resized_size(height: int, width: int, geometry: GeometryOptions) -> tuple[int, int]:
    """(height, width) after resizing, before the crop; the long side is rounded down, as torchvision does."""
    if geometry.mode == "square":
        return geometry.resize, geometry.resize
    if height <= width:
        return geometry.resize, int(geometry.resize * width / height)
    return int(geometry.resize * height / width), geometry.resize


def final_size(height: int, width: int, geometry: GeometryOptions) -> tuple[int, int]:
    """(height, width) of what `apply_to_image` and `apply_to_mask` return for an input of that size."""
    return (geometry.crop, geometry.crop) if geometry.crop else resized_size(height, width, geometry)


def apply_to_image(image: Image.Image | np.ndarray, geometry: GeometryOptions) -> np.ndarray:
    """image: RGB, or uint8 (H, W, 3) -> uint8 (H', W', 3)."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    height, width = resized_size(image.height, image.width, geometry)
    if geometry.antialias:
        pixels = np.asarray(image.resize((width, height), _PILLOW[geometry.interpolation]))
    else:
        pixels = cv2.resize(np.asarray(image), (width, height), interpolation=_OPENCV[geometry.interpolation])
    return _centre_crop(pixels, geometry.crop)


def apply_to_mask(mask: np.ndarray, geometry: GeometryOptions) -> np.ndarray:
    """mask: uint8 (H, W) -> uint8 (H', W') by nearest neighbour: no value that was not there before."""
    height, width = resized_size(*mask.shape, geometry)
    resized = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    return _centre_crop(resized, geometry.crop)


def _centre_crop(pixels: np.ndarray, crop: int | None) -> np.ndarray:
    if crop is None:
        return pixels
    top, left = (round((side - crop) / 2) for side in pixels.shape[:2])  # torchvision's CenterCrop
    return pixels[top : top + crop, left : left + crop]
