import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from spd.views import crop, fused
from spd.views.options import ViewOptions

IMPLEMENTATIONS = [crop.apply_crop, fused.apply_crop]
MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
BOXES = np.array(  # top, left, height, width in images of 72 x 90: whole, shrunk, enlarged, thin, one pixel
    [[0, 0, 72, 90], [10, 20, 60, 70], [5, 7, 20, 16], [0, 80, 72, 10], [71, 89, 1, 1], [30, 0, 3, 90]]
)
FLIP = np.array([False, True, False, True, False, True])


@pytest.mark.parametrize("apply_crop", IMPLEMENTATIONS, ids=["batched", "fused"])
@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("size", [32, 48])
def test_crop_and_flip_equal_torchvision(images, apply_crop, interpolation, size):
    views = apply_crop(images, BOXES, FLIP, size, interpolation)
    for image, box, flip, view in zip(images, BOXES, FLIP, views, strict=True):
        expected = TF.resized_crop(
            image / 255, *box.tolist(), [size, size], MODES[interpolation], antialias=True
        )
        expected = (TF.hflip(expected) if flip else expected).clamp(
            0, 1
        )  # ours stays an image: bicubic overshoots
        torch.testing.assert_close(view, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("apply_crop", IMPLEMENTATIONS, ids=["batched", "fused"])
def test_crop_equals_pil_up_to_its_rounding(images, apply_crop):
    views = apply_crop(images, BOXES, FLIP, 40, "bilinear") * 255
    for image, box, flip, view in zip(images, BOXES, FLIP, views, strict=True):
        pil = TF.resized_crop(TF.to_pil_image(image), *box.tolist(), [40, 40], InterpolationMode.BILINEAR)
        pil = TF.hflip(pil) if flip else pil
        difference = view - torch.from_numpy(np.array(pil)).permute(2, 0, 1)
        assert difference.abs().max() <= 1.51  # PIL rounds to whole grey levels after each of its two passes
        assert abs(difference.mean()) < 0.25  # of enlarged boxes it rounds many exact halves up


def test_crop_takes_float_images_as_they_are(images):
    for apply_crop in IMPLEMENTATIONS:
        whole = apply_crop(images, BOXES, FLIP, 32, "bilinear")
        torch.testing.assert_close(
            apply_crop(images / 255, BOXES, FLIP, 32, "bilinear"), whole, atol=1e-6, rtol=0
        )


def torchvision_rule(height, width, areas, ratios, place, bounds):
    """RandomResizedCrop.get_params with the random numbers given, written out for one image."""
    for area, ratio in zip(areas, ratios, strict=True):
        w, h = (
            round(math.sqrt(height * width * area * ratio)),
            round(math.sqrt(height * width * area / ratio)),
        )
        if 0 < w <= width and 0 < h <= height:
            return [int(place[0] * (height - h + 1)), int(place[1] * (width - w + 1)), h, w]
    w, h = width, height
    if width / height < bounds[0]:
        h = round(width / bounds[0])
    elif width / height > bounds[1]:
        w = round(height * bounds[1])
    return [(height - h) // 2, (width - w) // 2, h, w]


@given(st.integers(8, 400), st.integers(8, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_boxes_follow_torchvisions_rule(height, width, seed):
    options = ViewOptions(scale=(0.5, 1.0))
    draws = crop.draw_crop(options, np.random.default_rng(seed).random((4, crop.UNIFORMS)))
    boxes = crop.crop_boxes(draws, np.tile([height, width], (4, 1)), (height, width), options.ratio)
    for box, areas, ratios, place in zip(
        boxes, draws["crop_area"], draws["crop_ratio"], draws["crop_place"], strict=True
    ):
        assert box.tolist() == torchvision_rule(height, width, areas, ratios, place, options.ratio)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_boxes_of_squashed_images_lie_on_the_canvas(height, width, canvas, seed):
    draws = crop.draw_crop(ViewOptions(), np.random.default_rng(seed).random((8, crop.UNIFORMS)))
    boxes = crop.crop_boxes(draws, np.tile([height, width], (8, 1)), (canvas, canvas), (3 / 4, 4 / 3))
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= canvas).all()


def test_squashing_scales_the_box():
    draws = crop.draw_crop(ViewOptions(), np.random.default_rng(0).random((50, crop.UNIFORMS)))
    true = crop.crop_boxes(draws, np.tile([300, 500], (50, 1)), (300, 500), (3 / 4, 4 / 3))
    squashed = crop.crop_boxes(draws, np.tile([300, 500], (50, 1)), (256, 256), (3 / 4, 4 / 3))
    assert (
        np.abs(squashed - true * 256 / np.array([300, 500, 300, 500])).max() <= 1
    )  # two edges, each rounded


def test_boxes_have_torchvisions_distribution():
    count = 2000
    draws = crop.draw_crop(ViewOptions(), np.random.default_rng(0).random((count, crop.UNIFORMS)))
    ours = crop.crop_boxes(draws, np.tile([180, 240], (count, 1)), (180, 240), (3 / 4, 4 / 3))
    torch.manual_seed(0)
    image = Image.new("L", (240, 180))
    theirs = np.array([RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(count)])
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.01


def test_flips_have_their_probability():
    uniforms = np.random.default_rng(0).random((4000, crop.UNIFORMS))
    assert crop.draw_crop(ViewOptions(flip=0.25), uniforms)["flip"].mean() == pytest.approx(0.25, abs=0.03)
    assert not crop.draw_crop(ViewOptions(flip=0.0), uniforms)["flip"].any()
    assert crop.draw_crop(ViewOptions(flip=1.0), uniforms)["flip"].all()


@pytest.mark.parametrize(("height", "width"), [(300, 400), (97, 64), (256, 256)])
def test_centre_boxes_are_torchvisions_centre_crop(height, width):
    # on a canvas of the true size: what Resize(256), CenterCrop(224) keeps, in the image's own pixels
    ((top, left, h, w),) = crop.centre_boxes(np.array([[height, width]]), (height, width), 224 / 256)
    side = round(min(height, width) * 224 / 256)
    assert (h, w) == (side, side)
    assert abs(top - (height - side) / 2) <= 0.5 and abs(left - (width - side) / 2) <= 0.5
    ((_, _, h, w),) = crop.centre_boxes(np.array([[height, width]]), (64, 64), 224 / 256)  # squashed
    assert abs(h - 64 * side / height) <= 1 and abs(w - 64 * side / width) <= 1
