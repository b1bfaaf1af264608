import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from spd.detectors.maps import pixel_maps


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("border", ["reflect", "mirror"])
@pytest.mark.parametrize(("grid", "size"), [((7, 9), (63, 50)), ((14, 14), (56, 56)), ((1, 1), (20, 20))])
def test_equals_interpolate_then_scipy(upsampling, border, grid, size):
    scores = np.random.default_rng(0).random((3, *grid)).astype(np.float32)
    kwargs = {"align_corners": False} if upsampling == "bilinear" else {}
    up = F.interpolate(torch.from_numpy(scores)[None].double(), size=size, mode=upsampling, **kwargs)[
        0
    ].numpy()
    expected = np.stack([gaussian_filter(image, 4, mode=border, truncate=4) for image in up])
    np.testing.assert_allclose(
        pixel_maps(scores, size, upsampling=upsampling, blur_sigma=4, blur_border=border), expected, rtol=2e-6
    )


def test_without_blur_nearest_repeats_patches():
    scores = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    maps = pixel_maps(scores, (4, 6), upsampling="nearest", blur_sigma=0)
    np.testing.assert_array_equal(maps, scores.repeat(2, 1).repeat(2, 2))


def test_no_images():
    assert pixel_maps(np.empty((0, 4, 4), np.float32), (8, 8)).shape == (0, 8, 8)
