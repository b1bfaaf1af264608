import numpy as np
import pytest

from demo_data.corpus import CLASSES, SHAPES, TEXTURES, class_image


def test_every_class_is_a_shape_and_a_texture_of_its_own():
    assert len(CLASSES) == len(set(CLASSES.values())) == 20
    assert {shape for shape, _ in CLASSES.values()} <= set(SHAPES)
    assert {texture for _, texture in CLASSES.values()} == set(TEXTURES)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_a_sensible_part_of_the_unit_square_and_stay_within(shape):
    v, u = np.mgrid[-1.5:1.5:151j, -1.5:1.5:151j]
    inside = SHAPES[shape](u, v) < 0
    assert 0.1 < inside.mean() * 9 / 4 < 0.85
    assert np.maximum(abs(u), abs(v))[inside].max() < 1.06


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_are_shares(texture):
    v, u = np.mgrid[-1:1:101j, -1:1:101j]
    share = TEXTURES[texture](u, v)
    assert share.min() >= 0 and share.max() <= 1
    assert texture == "plain" or share.std() > 0.15


def test_images_vary_within_a_class_and_are_functions_of_their_name_alone():
    first, second = (class_image("woven_cross", i, 48, seed=0) for i in range(2))
    assert first.dtype == np.uint8 and first.shape == (48, 48, 3)
    assert np.array_equal(first, class_image("woven_cross", 0, 48, seed=0))
    assert abs(first.astype(int) - second).mean() > 10
    assert abs(first.astype(int) - class_image("woven_cross", 0, 48, seed=1)).mean() > 10


def test_colour_does_not_tell_the_class():
    """The mean colour of a class' images varies far less between classes than within one."""
    means = np.array(
        [[class_image(c, i, 24, 0).mean(axis=(0, 1)) for i in range(12)] for c in list(CLASSES)[:8]]
    )
    assert means.mean(axis=1).std(axis=0).max() < 0.6 * means.std(axis=1).mean()
