import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from scipy.ndimage import gaussian_filter

from spd.views import blur, fused
from spd.views.options import BlurOptions


def fused_blur(images, sigma):
    """Through the whole kernel, whose crop of a square image to its own size is the identity."""
    count, size = len(images), images.shape[-1]
    draws = {
        "flip": np.zeros(count, dtype=bool),
        "factors": np.tile([1.0, 1.0, 1.0, 0.0], (count, 1)),
        "order": np.tile(np.arange(4), (count, 1)),
        "grayscale": np.zeros(count, dtype=bool),
        "sigma": sigma,
    }
    return fused.apply_global(images, np.tile([0, 0, size, size], (count, 1)), draws, size, "bilinear")


IMPLEMENTATIONS = pytest.mark.parametrize(
    "apply_blur", [blur.apply_blur, fused_blur], ids=["batched", "fused"]
)
SIGMA = np.array([0.1, 0.0, 0.55, 1.0, 1.7, 2.0])


@IMPLEMENTATIONS
def test_blur_equals_torchvision_with_a_kernel_to_4_sigma(squares, apply_blur):
    images = squares[:6]
    result = apply_blur(images, SIGMA)
    for image, sigma, blurred in zip(images, SIGMA, result, strict=True):
        kernel = 2 * math.ceil(4 * sigma) + 1
        expected = TF.gaussian_blur(image, kernel, float(sigma)) if sigma > 0 else image
        torch.testing.assert_close(blurred, expected, atol=2e-6, rtol=0)


@IMPLEMENTATIONS
def test_cutting_the_kernel_at_4_sigma_costs_less_than_a_hundredth_of_a_grey_level(squares, apply_blur):
    images = squares[:6]
    result = apply_blur(images, SIGMA)
    for image, sigma, blurred in zip(images.double().numpy(), SIGMA, result, strict=True):
        expected = (
            gaussian_filter(image, (0, sigma, sigma), mode="mirror", truncate=10) if sigma > 0 else image
        )
        assert np.abs(blurred.numpy() - expected).max() < 0.04 / 255
        assert np.abs(blurred.numpy() - expected).mean() < 0.01 / 255


@IMPLEMENTATIONS
def test_a_kernel_wider_than_the_view_is_cut_at_its_size(squares, apply_blur):
    images = squares[:6, :, :8, :8]
    result = apply_blur(images, np.full(6, 5.0))
    expected = TF.gaussian_blur(images, 15, 5.0)
    torch.testing.assert_close(result, expected, atol=2e-6, rtol=0)


@IMPLEMENTATIONS
def test_an_impulse_becomes_the_gaussian_of_its_sigma(apply_blur):
    images = torch.zeros(1, 3, 33, 33)
    images[:, :, 16, 16] = 1
    result = apply_blur(images, np.array([1.5]))[0, 0].double()
    offsets = torch.arange(33) - 16
    assert result.sum().item() == pytest.approx(1, abs=1e-5)
    assert (result.sum(0) * offsets**2).sum().item() == pytest.approx(1.5**2, rel=2e-3)


def test_draws_are_uniform_and_have_their_probability():
    draws = blur.draw_blur(BlurOptions(sigma=(0.1, 2.0), p=0.5), np.random.default_rng(0).random((8000, 2)))
    blurred = draws["sigma"] > 0
    assert blurred.mean() == pytest.approx(0.5, abs=0.02)
    assert 0.1 <= draws["sigma"][blurred].min() < 0.11 and 1.99 < draws["sigma"].max() <= 2.0
    assert draws["sigma"][blurred].mean() == pytest.approx(1.05, abs=0.03)
