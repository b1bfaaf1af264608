"""From patch scores to pixel maps: upsampling and Gaussian blur as one separable linear map."""

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional as F


@lru_cache(maxsize=32)
def _axis_operator(patches: int, pixels: int, upsampling: str, sigma: float, border: str) -> torch.Tensor:
    """(pixels, patches) float32: upsampling followed by blur along one axis.

    Both are linear and separable, so applying the libraries' own functions to unit vectors once gives the
    operator exactly, and every map is then two small matrix products.
    """
    unit = torch.eye(patches, dtype=torch.float64)[:, None]  # (patches, 1, patches)
    if upsampling == "bilinear":
        operator = F.interpolate(unit, size=pixels, mode="linear", align_corners=False)
    else:
        operator = F.interpolate(unit, size=pixels, mode="nearest")
    operator = operator[:, 0].T.numpy()  # (pixels, patches)
    if sigma > 0:
        operator = gaussian_filter1d(operator, sigma, axis=0, mode=border, truncate=4.0)
    return torch.from_numpy(np.ascontiguousarray(operator, np.float32))


def pixel_maps(
    patch_scores: np.ndarray,
    size: tuple[int, int],
    *,
    upsampling: str = "bilinear",
    blur_sigma: float = 4.0,
    blur_border: str = "reflect",
) -> np.ndarray:
    """Upsamples (N, h, w) float32 patch scores to (N, H, W) float32 maps and blurs them.

    upsampling: bilinear (half-pixel centres, `align_corners=False`) or nearest, as torch's `interpolate`.
    blur: as `scipy.ndimage.gaussian_filter(sigma, mode=blur_border, truncate=4)`.
    """
    scores = torch.from_numpy(np.ascontiguousarray(patch_scores, np.float32))
    down = _axis_operator(scores.shape[1], size[0], upsampling, float(blur_sigma), blur_border)
    across = _axis_operator(scores.shape[2], size[1], upsampling, float(blur_sigma), blur_border)
    maps = np.empty((len(scores), *size), np.float32)
    out = torch.from_numpy(maps)
    for start in range(0, len(scores), 64):  # bounds the intermediate (64, H, w)
        torch.matmul(torch.matmul(down, scores[start : start + 64]), across.T, out=out[start : start + 64])
    return maps
