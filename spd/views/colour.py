"""Colour jitter and grayscale as torchvision has them, each image with its own factors and order."""

from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from spd.views.options import JitterOptions

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS = np.array(list(permutations(range(4))), dtype=np.int64)
"""The 24 orders of the four operations; the first one is brightness, contrast, saturation, hue."""
GRAY = (0.2989, 0.587, 0.114)
"""Weights of R, G and B in torchvision's grayscale (ITU-R BT.601)."""
UNIFORMS = 6
"""Uniform numbers per image that `draw_jitter` takes."""


def draw_jitter(options: JitterOptions, uniforms: np.ndarray) -> dict[str, np.ndarray]:
    """Draws the factors and the order of the colour jitter.

    uniforms: float64 (B, 6) in [0, 1). Returns `factors` float64 (B, 4): brightness, contrast and saturation
    factors and the hue shift in turns, neutral (1, 1, 1, 0) where the image is left as it is; and `order`
    int64 (B, 4), the operations in the order of application.
    """
    low = [max(0.0, 1 - value) for value in (options.brightness, options.contrast, options.saturation)]
    high = [1 + value for value in (options.brightness, options.contrast, options.saturation)]
    low, high = np.array([*low, -options.hue]), np.array([*high, options.hue])
    factors = low + (high - low) * uniforms[:, :4]
    factors = np.where(uniforms[:, 4:5] < options.p, factors, [1.0, 1.0, 1.0, 0.0])
    order = np.floor(uniforms[:, 5] * len(ORDERS)).astype(np.int64)
    return {"factors": factors, "order": ORDERS[order]}


def apply_jitter(
    images: Tensor, factors: np.ndarray, order: np.ndarray, weight: Tensor | None = None
) -> Tensor:
    """Brightness, contrast, saturation and hue in each image's own order, clamped to [0, 1] after each.

    images: float (B, 3, H, W) in [0, 1]; factors, order: (B, 4), see `draw_jitter`; weight: float
    (B, 1, H, W) of 0 and 1, the pixels that the mean of the contrast is taken over (default: all).
    Returns a new tensor of the images' shape.
    """
    images = images.clone()
    neutral = np.array([1.0, 1.0, 1.0, 0.0])
    for position in range(4):
        for operation in range(4):
            # The lists are made on the CPU, so a GPU is never waited for.
            chosen = np.flatnonzero(
                (order[:, position] == operation) & (factors[:, operation] != neutral[operation])
            )
            if len(chosen) == 0:
                continue
            index = torch.from_numpy(chosen).to(images.device)
            factor = torch.from_numpy(factors[chosen, operation]).to(images)[:, None, None, None]
            part = images[index]
            if operation == BRIGHTNESS:
                part = (factor * part).clamp(0, 1)
            elif operation == CONTRAST:
                part = _blend(part, _mean(gray(part), None if weight is None else weight[index]), factor)
            elif operation == SATURATION:
                part = _blend(part, gray(part), factor)
            else:
                part = shift_hue(part, factor)
            images[index] = part
    return images


def apply_grayscale(images: Tensor, chosen: np.ndarray) -> Tensor:
    """Drops the colours of the images of `chosen`, bool (B,). images: float (B, 3, H, W), which they stay."""
    index = torch.from_numpy(np.flatnonzero(chosen)).to(images.device)
    return images.index_copy(0, index, gray(images[index]).expand(-1, 3, -1, -1))


def gray(images: Tensor) -> Tensor:
    """The luma of RGB images: (B, 3, H, W) to (B, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue)[:, None]


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotates the HSV hue exactly, keeping value and chroma.

    images: float (B, 3, H, W) in [0, 1]; turns: (B, 1, 1, 1), shift of the hue in turns of the circle.
    """
    red, green, blue = images.unbind(1)
    value, low = images.amax(1), images.amin(1)  # (B, H, W)
    chroma = value - low
    # 1 / chroma of a subnormal one, as a blur leaves it around black, is infinite
    scale = 1 / torch.where(chroma > 1e-30, chroma, torch.ones_like(chroma))
    hue = torch.where(
        value == red,
        (green - blue) * scale,
        torch.where(value == green, 2 + (blue - red) * scale, 4 + (red - green) * scale),
    )  # in sixths of a turn, [-1, 5]
    hue = hue + 6 * turns[:, 0]
    channels = []
    for offset in (5, 3, 1):
        # A channel loses chroma by its distance on the circle: Smith's HSV in closed form.
        distance = torch.remainder(hue + offset, 6)
        channels.append(value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, 1).clamp(0, 1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over height and width, (B, 1, 1, 1), of the pixels whose weight is 1."""
    if weight is None:
        return values.mean((2, 3), keepdim=True)
    return (values * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True)
