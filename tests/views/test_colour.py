import colorsys

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from scipy.stats import chisquare, kstest

from spd.views import colour, fused
from spd.views.options import JitterOptions

OPERATIONS = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)


def fused_jitter(images, factors, order):
    """Through the whole kernel, whose crop of a square image to its own size is the identity."""
    count, size = len(images), images.shape[-1]
    draws = {
        "flip": np.zeros(count, dtype=bool),
        "factors": factors,
        "order": order,
        "grayscale": np.zeros(count, dtype=bool),
        "sigma": np.zeros(count),
    }
    return fused.apply_global(images, np.tile([0, 0, size, size], (count, 1)), draws, size, "bilinear")


IMPLEMENTATIONS = pytest.mark.parametrize(
    "jitter", [colour.apply_jitter, fused_jitter], ids=["batched", "fused"]
)


@IMPLEMENTATIONS
@pytest.mark.parametrize("operation", range(4))
def test_each_operation_equals_torchvision(squares, jitter, operation):
    images = squares[:6]
    values = [0.2, 0.6, 1.4, 1.9, 0.0, 1.0] if operation != colour.HUE else [-0.5, -0.1, 0.04, 0.3, 0.5, 0.0]
    factors = np.tile([1.0, 1.0, 1.0, 0.0], (6, 1))
    factors[:, operation] = values
    result = jitter(images, factors, colour.ORDERS[np.arange(6)])
    expected = torch.stack([OPERATIONS[operation](i, v) for i, v in zip(images, values, strict=True)])
    torch.testing.assert_close(result, expected, atol=5e-6, rtol=0)


@IMPLEMENTATIONS
def test_the_chain_equals_torchvision_in_all_24_orders(squares, jitter):
    generator = np.random.default_rng(0)
    factors = np.column_stack([generator.uniform(0.2, 1.8, (24, 3)), generator.uniform(-0.5, 0.5, 24)])
    result = jitter(squares, factors, colour.ORDERS)
    expected = []
    for image, factor, order in zip(squares, factors, colour.ORDERS, strict=True):
        for operation in order:
            image = OPERATIONS[operation](image, factor[operation])
        expected.append(image)
    # Saturation and contrast amplify the rounding of the hue, at most by their factors.
    torch.testing.assert_close(result, torch.stack(expected), atol=2e-5, rtol=0)


@IMPLEMENTATIONS
def test_hue_is_exact_on_pure_mixed_and_gray_colours(jitter):
    levels = [0.0, 0.2, 0.5, 1.0]
    pixels = torch.tensor([[r, g, b] for r in levels for g in levels for b in levels]).T.reshape(1, 3, 8, 8)
    for turns in (-0.5, -1 / 3, 0.123, 0.5):
        result = jitter(pixels, np.array([[1, 1, 1, turns]]), colour.ORDERS[:1])
        expected = []
        for r, g, b in pixels.reshape(3, -1).T.tolist():
            h, s, v = colorsys.rgb_to_hsv(r, g, b)
            expected.append(colorsys.hsv_to_rgb((h + turns) % 1, s, v))
        torch.testing.assert_close(
            result, torch.tensor(expected, dtype=torch.float32).T.reshape(1, 3, 8, 8), atol=2e-6, rtol=0
        )


@IMPLEMENTATIONS
def test_hue_of_subnormal_colours_is_finite(jitter):
    # what a blurred edge leaves far inside a black area; 1 / chroma would be infinite
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, 16, 16, generator=generator) * 1e-40
    assert (pixels > 0).any()
    result = jitter(pixels, np.array([[1, 1, 1, 0.1]]), colour.ORDERS[:1])
    torch.testing.assert_close(result, torch.zeros_like(pixels), atol=1e-30, rtol=0)


def test_grayscale_equals_torchvision(images):
    images = images / 255
    chosen = np.array([True, False, True, True, False, False])
    expected = torch.where(
        torch.from_numpy(chosen)[:, None, None, None], TF.rgb_to_grayscale(images, 3), images
    )
    torch.testing.assert_close(colour.apply_grayscale(images, chosen), expected, atol=1e-6, rtol=0)


def test_the_contrast_of_a_window_takes_the_mean_of_its_weighted_pixels(images):
    images = images / 255
    weight = torch.zeros(6, 1, 72, 90)
    weight[:, :, 10:30, 20:60] = 1
    factors, order = np.tile([0.8, 1.3, 0.9, 0.05], (6, 1)), colour.ORDERS[[0, 5, 9, 14, 20, 23]]
    inside = colour.apply_jitter(images, factors, order, weight)[:, :, 10:30, 20:60]
    alone = colour.apply_jitter(images[:, :, 10:30, 20:60], factors, order)
    torch.testing.assert_close(inside, alone, atol=2e-6, rtol=0)


def test_draws_have_torchvisions_distribution():
    options = JitterOptions(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1, p=0.8)
    draws = colour.draw_jitter(options, np.random.default_rng(0).random((20_000, colour.UNIFORMS)))
    jittered = (draws["factors"] != [1, 1, 1, 0]).any(axis=1)
    assert jittered.mean() == pytest.approx(0.8, abs=0.01)
    bounds = [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)]
    for column, (low, high) in enumerate(bounds):
        values = draws["factors"][jittered, column]
        assert kstest(values, "uniform", args=(low, high - low)).pvalue > 0.01
    orders = (draws["order"] @ [64, 16, 4, 1]).tolist()
    counts = np.unique(orders, return_counts=True)[1]
    assert len(counts) == 24 and chisquare(counts).pvalue > 0.01


def test_without_probability_nothing_is_jittered():
    neutral = colour.draw_jitter(JitterOptions(p=0.0), np.random.default_rng(0).random((9, colour.UNIFORMS)))
    assert (neutral["factors"] == [1, 1, 1, 0]).all()


@IMPLEMENTATIONS
def test_the_input_is_kept(squares, jitter):
    before = squares.clone()
    jitter(squares, np.tile([0.5, 0.5, 0.5, 0.2], (24, 1)), colour.ORDERS)
    assert torch.equal(squares, before)
