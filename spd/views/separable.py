"""Separable linear image operations as two batched matrix products: crops, resizes, flips and blurs."""

import torch
from torch import Tensor


def apply_separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`rows @ image @ columns^T` for each image and channel.

    images: float (B, C, H, W); rows: (B, h, H); columns: (B, w, W). Returns (B, C, h, w).
    """
    return rows[:, None] @ (images @ columns[:, None].mT)  # (B, C, H, w), then (B, C, h, w)


def resize_matrix(start: Tensor, length: Tensor, inputs: int, outputs: int, interpolation: str) -> Tensor:
    """Row-stochastic matrices that cut [start, start + length) and resize it, antialiased as PIL does.

    start, length: integer (B,), within [0, inputs]; interpolation: bilinear | bicubic (a = -0.5).
    Returns float32 (B, outputs, inputs).
    """
    start, length = start[:, None, None].double(), length[:, None, None].double()  # (B, 1, 1)
    scale = length / outputs
    stretch = scale.clamp(min=1)
    centre = start + scale * (torch.arange(outputs, device=start.device) + 0.5)[None, :, None]  # (B, out, 1)
    position = torch.arange(inputs, device=start.device) + 0.5  # (in,)
    # positions need float64, weights do not
    distance = ((position - centre) / stretch).abs().float()  # (B, out, in)
    weight = (1 - distance).clamp(min=0) if interpolation == "bilinear" else _cubic(distance)
    weight = weight * ((position > start) & (position < start + length))
    return weight / weight.sum(-1, keepdim=True)


def _cubic(distance: Tensor, a: float = -0.5) -> Tensor:
    """Keys' cubic convolution kernel; PIL's and torch's antialiased bicubic have a = -0.5."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * a
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def blur_matrix(sigma: Tensor, size: int, truncate: float = 4.0) -> Tensor:
    """Matrices of a Gaussian blur with reflected borders (edge pixels not repeated).

    sigma: float (B,), in pixels; 0 gives the identity. The kernel ends at ceil(truncate * sigma) pixels, at
    most size - 1, and sums to one. Returns float32 (B, size, size).
    """
    radius = blur_radius(sigma, size, truncate)[:, None, None]
    sigma = sigma[:, None, None].float()
    i = torch.arange(size, device=sigma.device)[:, None]
    j = torch.arange(size, device=sigma.device)[None, :]

    def tap(offset: Tensor) -> Tensor:
        weight = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-6)) ** 2)
        return torch.where(offset.abs() <= radius, weight, torch.zeros_like(weight))

    # A tap that falls outside comes back mirrored at the first or the last pixel.
    weight = tap(j - i) + tap(-j - i) * (j > 0) + tap(2 * (size - 1) - j - i) * (j < size - 1)
    return weight / weight.sum(-1, keepdim=True)


def blur_radius(sigma: Tensor, size: int, truncate: float = 4.0) -> Tensor:
    """Radius in pixels at which the Gaussian of `sigma` is cut off."""
    return torch.ceil(truncate * sigma).clamp(max=size - 1)
