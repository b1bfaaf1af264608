"""Geometry: torchvision's own transforms give the same pixels, and masks stay on theirs."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from spd.data.geometry import apply_to_image, apply_to_mask, final_size
from spd.data.geometry_options import GeometryOptions

_MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}


def _torchvision(image, geometry, interpolation):
    size = geometry.resize if geometry.mode == "short" else (geometry.resize, geometry.resize)
    steps = [transforms.Resize(size, interpolation=interpolation)]
    steps += [transforms.CenterCrop(geometry.crop)] if geometry.crop else []
    return np.asarray(transforms.Compose(steps)(image))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    resize=st.integers(8, 48),
    crop=st.none() | st.integers(8, 48),
    mode=st.sampled_from(["short", "square"]),
    interpolation=st.sampled_from(sorted(_MODES)),
    seed=st.integers(0, 99),
)
def test_equal_to_torchvision_on_pillow_images(height, width, resize, crop, mode, interpolation, seed):
    crop = None if crop is None else min(crop, resize)
    geometry = GeometryOptions(resize=resize, crop=crop, mode=mode, interpolation=interpolation)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    ours = apply_to_image(image, geometry)
    assert np.array_equal(ours, _torchvision(image, geometry, _MODES[interpolation]))
    assert ours.shape[:2] == final_size(height, width, geometry)
    mask = (np.asarray(image)[..., 0] > 127).astype(np.uint8)
    expected = _torchvision(Image.fromarray(mask), geometry, InterpolationMode.NEAREST)
    assert np.array_equal(apply_to_mask(mask, geometry), expected)


def test_pillows_pixels():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    geometry = GeometryOptions(resize=40, crop=32, mode="short", interpolation="lanczos")
    golden = np.asarray(image.resize((60, 40), Image.Resampling.LANCZOS).crop((14, 4, 46, 36)))
    assert np.array_equal(apply_to_image(image, geometry), golden)
    assert np.array_equal(apply_to_image(np.asarray(image), geometry), golden)


@pytest.mark.parametrize("mode", ["short", "square"])
@pytest.mark.parametrize("crop", [None, 96])
@pytest.mark.parametrize("size", [(200, 301), (301, 200), (97, 150)])
def test_a_mask_stays_on_what_it_marks(size, crop, mode):
    drawing = Image.new("L", size)
    draw = ImageDraw.Draw(drawing)
    draw.rectangle((size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2), fill=255)
    draw.ellipse((size[0] // 2, size[1] // 2, size[0] - 10, size[1] - 10), fill=255)
    geometry = GeometryOptions(resize=112, crop=crop, mode=mode)
    pixels = apply_to_image(drawing.convert("RGB"), geometry)[..., 0]
    mask = apply_to_mask((np.asarray(drawing) > 0).astype(np.uint8), geometry)
    assert mask.shape == pixels.shape and set(np.unique(mask)) == {0, 1}
    # resampled edges are grey; wherever the image is clearly inside or outside, the mask says so
    clear = (pixels < 8) | (pixels > 247)
    assert clear.mean() > 0.8
    assert (mask[clear] == (pixels[clear] > 127)).mean() > 0.998
    shifted = np.roll(mask, 3, axis=1)  # the check is not blind: three pixels aside it fails
    assert (shifted[clear] == (pixels[clear] > 127)).mean() < 0.99


def test_without_antialias_small_detail_aliases():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    smooth = apply_to_image(stripes, GeometryOptions(resize=100))
    rough = apply_to_image(stripes, GeometryOptions(resize=100, antialias=False))
    assert np.array_equal(rough, cv2.resize(stripes, (100, 100), interpolation=cv2.INTER_LINEAR))
    assert smooth.std() < 40 < rough.std()
