"""Gaussian blur of a batch, every image with its own sigma."""

import numpy as np
import torch
from torch import Tensor

from spd.views.options import BlurOptions
from spd.views.separable import apply_separable, blur_matrix

UNIFORMS = 2
"""Uniform numbers per image that `draw_blur` takes."""


def draw_blur(options: BlurOptions, uniforms: np.ndarray) -> dict[str, np.ndarray]:
    """Draws the blur. uniforms: float64 (B, 2). Returns `sigma` float64 (B,) in pixels, 0 for no blur."""
    low, high = options.sigma
    sigma = low + (high - low) * uniforms[:, 0]
    return {"sigma": np.where(uniforms[:, 1] < options.p, sigma, 0.0)}


def apply_blur(images: Tensor, sigma: np.ndarray) -> Tensor:
    """Blurs each image with its own sigma (0: left as it is). images: float (B, 3, S, S); sigma: (B,)."""
    chosen = np.flatnonzero(sigma > 0)
    if len(chosen) == 0:
        return images
    index = torch.from_numpy(chosen).to(images.device)
    matrix = blur_matrix(torch.from_numpy(sigma[chosen]).to(images.device), images.shape[-1])
    return images.index_copy(0, index, apply_separable(images[index], matrix, matrix))
