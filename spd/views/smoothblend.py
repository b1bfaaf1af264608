"""SmoothBlend and CutPaste: a small patch is copied, colour-jittered and pasted elsewhere in the same image.

SmoothBlend pastes through a Gaussian-blurred mask, x_bar = (1 - alpha) x + alpha u (SPD paper, local
augmentation); CutPaste is the same with the hard mask, sigma = 0. The blurred mask of a rectangle is known in
closed form: the product of two differences of error functions. It is worked out only in a window around the
patch, 4 sigma wider on each side, outside of which alpha is below 3.2e-5, a hundredth of a grey level.
"""

import math

import numpy as np
import torch
from torch import Tensor

from spd.views import colour
from spd.views.options import LocalOptions

UNIFORMS = 7 + colour.UNIFORMS
"""Uniform numbers per image that `draw_local` takes."""
MARGIN = 4.0
"""The window reaches this many sigma beyond the patch."""


def draw_local(options: LocalOptions, size: int, uniforms: np.ndarray) -> dict[str, np.ndarray]:
    """Draws patch, place, blur of the mask and colour jitter for views of `size` pixels.

    uniforms: float64 (B, 13) in [0, 1). Returns `source` and `target` int64 (B, 2), the patch's top and left
    where it is cut and where it is pasted; `patch` int64 (B, 2), its height and width; `mask_sigma` float64
    (B,) in pixels, 0 for CutPaste; `factors` and `order` as `colour.draw_jitter` has them.
    """
    log_low, log_high = math.log(options.aspect[0]), math.log(options.aspect[1])
    area = (options.area[0] + (options.area[1] - options.area[0]) * uniforms[:, 0]) * size**2
    aspect = np.exp(log_low + (log_high - log_low) * uniforms[:, 1])
    patch = np.stack([np.sqrt(area / aspect), np.sqrt(area * aspect)], axis=1)
    patch = np.clip(np.rint(patch), 1, size - 1)  # (B, 2)
    share = options.sigma[0] + (options.sigma[1] - options.sigma[0]) * uniforms[:, 6]
    sigma = share * np.sqrt(patch.prod(axis=1))
    return {
        "patch": patch.astype(np.int64),
        "source": np.floor(uniforms[:, 2:4] * (size - patch + 1)).astype(np.int64),
        "target": np.floor(uniforms[:, 4:6] * (size - patch + 1)).astype(np.int64),
        "mask_sigma": sigma if options.kind == "smoothblend" else 0 * sigma,
        **colour.draw_jitter(options.jitter, uniforms[:, 7:]),
    }


def apply_local(images: Tensor, draws: dict[str, np.ndarray], foreground: str) -> Tensor:
    """Blends the jittered patch into each image.

    images: float (B, 3, S, S) in [0, 1]; draws: see `draw_local`; foreground: `image` (u is the image with
    the patch pasted) or `zero` (u is zero outside the patch). Returns a new tensor of the images' shape.
    """
    size, device = images.shape[-1], images.device
    reach = np.ceil(MARGIN * draws["mask_sigma"])[:, None]  # (B, 1)
    sides = int((draws["patch"] + 2 * reach).max())
    numbers = np.concatenate(
        [draws["source"], draws["target"], draws["patch"], reach, draws["mask_sigma"][:, None]], 1
    )
    numbers = torch.from_numpy(numbers).to(device)  # (B, 8), float64: one copy to the device
    reach, sigma = numbers[:, 6, None], numbers[:, 7, None]  # (B, 1)
    alphas, inside, pasted, places, sources = [], [], [], [], []
    for axis in (0, 1):
        source, target, length = (numbers[:, k + axis, None] for k in (0, 2, 4))  # (B, 1)
        position = target - reach + torch.arange(sides, device=device)  # (B, window)
        # A window that leaves the image repeats the border pixel: every copy must get that pixel's own value.
        place = position.clamp(0, size - 1)
        inside.append((position >= target) & (position < target + length))
        pasted.append((place >= target) & (place < target + length))
        alphas.append(blurred_interval(place - target, length, sigma))
        places.append(place.long())
        sources.append((place - target + source).clamp(0, size - 1).long())
    batch = torch.arange(len(images), device=device)[:, None, None]

    def window(at: list[Tensor]) -> Tensor:
        return images[batch, :, at[0][:, :, None], at[1][:, None, :]].permute(0, 3, 1, 2)  # (B, 3, h, w)

    weight = (inside[0][:, :, None] & inside[1][:, None, :])[:, None].to(images)  # (B, 1, h, w)
    patch = colour.apply_jitter(window(sources), draws["factors"], draws["order"], weight)
    alpha = (alphas[0][:, :, None] * alphas[1][:, None, :])[:, None].to(images)
    x = window(places)
    outside = x if foreground == "image" else torch.zeros_like(x)
    u = torch.where((pasted[0][:, :, None] & pasted[1][:, None, :])[:, None], patch, outside)
    x_bar = (1 - alpha) * x + alpha * u
    result = images.clone()
    result[batch, :, places[0][:, :, None], places[1][:, None, :]] = x_bar.permute(0, 2, 3, 1)
    return result


def blurred_interval(position: Tensor, length: Tensor, sigma: Tensor) -> Tensor:
    """The interval [0, length) blurred by a Gaussian, at the centres of the pixels `position`.

    All float64, broadcast; sigma = 0 gives the interval itself (1 inside, 0 outside).
    """
    scale = 1 / (math.sqrt(2) * sigma.clamp(min=1e-9))
    centre = position + 0.5
    return 0.5 * (torch.erf((length - centre) * scale) + torch.erf(centre * scale))
