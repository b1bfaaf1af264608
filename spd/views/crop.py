"""Random resized crop with flip: boxes as torchvision draws them, antialiased resize for a whole batch."""

import math

import numpy as np
import torch
from torch import Tensor

from spd.views.options import ViewOptions
from spd.views.separable import apply_separable, resize_matrix

ATTEMPTS = 10
"""Boxes tried before the central crop is taken, as in torchvision's RandomResizedCrop."""
UNIFORMS = 2 * ATTEMPTS + 3
"""Uniform numbers per image that `draw_crop` takes."""


def draw_crop(options: ViewOptions, uniforms: np.ndarray) -> dict[str, np.ndarray]:
    """Draws relative crops and flips; `crop_boxes` turns them into pixels once the image sizes are known.

    uniforms: float64 (B, 23) in [0, 1). Returns `crop_area` and `crop_ratio` (B, 10), `crop_place` (B, 2)
    as shares of the free room (top, left) and `flip` bool (B,).
    """
    low, high = options.scale
    log_low, log_high = math.log(options.ratio[0]), math.log(options.ratio[1])
    return {
        "crop_area": low + (high - low) * uniforms[:, :ATTEMPTS],
        "crop_ratio": np.exp(log_low + (log_high - log_low) * uniforms[:, ATTEMPTS : 2 * ATTEMPTS]),
        "crop_place": uniforms[:, 2 * ATTEMPTS : 2 * ATTEMPTS + 2],
        "flip": uniforms[:, 2 * ATTEMPTS + 2] < options.flip,
    }


def crop_boxes(
    draws: dict[str, np.ndarray], sizes: np.ndarray, canvas: tuple[int, int], ratio: tuple[float, float]
) -> np.ndarray:
    """Boxes in pixels of the canvas, by torchvision's RandomResizedCrop.get_params.

    sizes: integer (B, 2), true heights and widths of the images; canvas: height and width of the stored
    array, to which an image may have been squashed (edges are then rounded to whole canvas pixels).
    Returns int64 (B, 4): top, left, height, width.
    """
    height, width = sizes[:, 0, None].astype(float), sizes[:, 1, None].astype(float)  # (B, 1)
    area = height * width * draws["crop_area"]  # (B, 10)
    w = np.rint(np.sqrt(area * draws["crop_ratio"]))
    h = np.rint(np.sqrt(area / draws["crop_ratio"]))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = np.argmax(fits, axis=1)[:, None]
    w, h = np.take_along_axis(w, first, 1)[:, 0], np.take_along_axis(h, first, 1)[:, 0]
    height, width = height[:, 0], width[:, 0]
    top = np.floor(draws["crop_place"][:, 0] * (height - h + 1))
    left = np.floor(draws["crop_place"][:, 1] * (width - w + 1))

    # torchvision's fallback: the largest central crop whose aspect ratio lies within the range.
    none = ~fits.any(axis=1)
    own = width / height
    w = np.where(none, np.where(own > ratio[1], np.rint(height * ratio[1]), width), w)
    h = np.where(none, np.where(own < ratio[0], np.rint(width / ratio[0]), height), h)
    top = np.where(none, (height - h) // 2, top)
    left = np.where(none, (width - w) // 2, left)

    top, bottom = _to_canvas(top, top + h, height, canvas[0])
    left, right = _to_canvas(left, left + w, width, canvas[1])
    return np.stack([top, left, bottom - top, right - left], axis=1).astype(np.int64)


def centre_boxes(sizes: np.ndarray, canvas: tuple[int, int], share: float) -> np.ndarray:
    """The central square whose side is `share` of the shorter true side, in pixels of the canvas: int64
    (B, 4), see `crop_boxes`."""
    height, width = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
    side = np.rint(share * np.minimum(height, width))
    top, bottom = _to_canvas((height - side) // 2, (height + side) // 2, height, canvas[0])
    left, right = _to_canvas((width - side) // 2, (width + side) // 2, width, canvas[1])
    return np.stack([top, left, bottom - top, right - left], axis=1).astype(np.int64)


def _to_canvas(start: np.ndarray, stop: np.ndarray, true: np.ndarray, canvas: int) -> tuple:
    """Edges in canvas pixels, at least one pixel apart."""
    start = np.minimum(np.rint(start * canvas / true), canvas - 1)
    return start, np.clip(np.rint(stop * canvas / true), start + 1, canvas)


def apply_crop(images: Tensor, boxes: np.ndarray, flip: np.ndarray, size: int, interpolation: str) -> Tensor:
    """Cuts each image's box, resizes it to (size, size) and mirrors it where `flip` is set.

    images: uint8 in [0, 255] or float in [0, 1], (B, 3, H, W); boxes: (B, 4), see `crop_boxes`.
    Returns float32 (B, 3, size, size) in [0, 1].
    """
    if images.dtype == torch.uint8:
        images = images.float() / 255
    top, left, height, width = torch.from_numpy(np.ascontiguousarray(boxes.T)).to(images.device)
    rows = resize_matrix(top, height, images.shape[2], size, interpolation)
    columns = resize_matrix(left, width, images.shape[3], size, interpolation)
    flip = torch.from_numpy(flip).to(images.device)[:, None, None]
    columns = torch.where(flip, columns.flip(1), columns)
    return apply_separable(images, rows, columns).clamp(0, 1)  # bicubic overshoots
