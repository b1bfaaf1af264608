import math

import numpy as np
import pytest

from demo_data.corpus import CLASSES, SHAPES, TEXTURES, class_image
from demo_data.drawing import Canvas, box, chain, noise, stream

CANVAS = Canvas.blank(40, 30, 2.0)


@pytest.mark.parametrize(
    ("distance", "area"),
    [
        (lambda x, y: np.hypot(x - 20, y - 15) - 9, math.pi * 81),
        (lambda x, y: box(x - 20, y - 15, 8, 5), 160),
        (lambda x, y: box(x - 20, y - 15, 8, 5, 2), 160 - (4 - math.pi) * 4),
        (lambda x, y: chain(x, y, ((12, 9), (26, 20))) - 3, math.pi * 9 + 6 * math.hypot(14, 11)),
    ],
)
def test_coverage_sums_to_the_area_of_the_shape(distance, area):
    covered = CANVAS.inside(distance(CANVAS.x, CANVAS.y)).sum() / CANVAS.scale**2
    assert covered == pytest.approx(area, rel=0.01)


def test_windows_of_windows_are_parts_of_the_canvas():
    canvas = Canvas.blank(40, 30, 2.0)
    window = canvas.near(20, 15, 8).near(14, 9, 3)  # reaches over the first window's corner
    window.blend(np.ones(window.pixels.shape[:2]), (1, 0.5, 0))
    window.tint(np.ones(window.pixels.shape[:2]), (1, 0.5, 1))
    painted = (canvas.x > 12) & (canvas.x < 17) & (canvas.y > 7) & (canvas.y < 12)
    assert (canvas.pixels[painted] == (1, 0.25, 0)).all() and not canvas.pixels[~painted].any()
    assert canvas.near(500, 500, 4).pixels.size == 0


def test_noise_passes_through_its_lattice_and_repeats():
    field = noise(stream("noise"), cell=2.0)
    u = np.linspace(-5, 5, 50)
    assert np.allclose(field(u, u), field(u + 128, u - 128))
    assert np.allclose(field(np.arange(64) * 2.0, np.zeros(64)), stream("noise").uniform(-1, 1, (64, 64))[0])
    assert np.abs(np.diff(field(np.linspace(0, 128, 40001), np.zeros(40001)))).max() < 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_a_sensible_part_of_the_unit_square_and_stay_within(shape):
    v, u = np.mgrid[-1.5:1.5:151j, -1.5:1.5:151j]
    inside = SHAPES[shape](u, v) < 0
    assert 0.1 < inside.mean() * 9 / 4 < 0.85 and np.maximum(abs(u), abs(v))[inside].max() < 1.06


def test_a_class_is_a_shape_and_a_texture_and_its_images_vary():
    assert len(CLASSES) == len(set(CLASSES.values())) == len(SHAPES) * len(TEXTURES) == 20
    first, second, other, again = (
        class_image("dotted_cross", index, 48, seed).astype(int)
        for index, seed in ((0, 0), (1, 0), (0, 1), (0, 0))
    )
    assert first.shape == (48, 48, 3) and np.array_equal(first, again)
    assert abs(first - second).mean() > 10 and abs(first - other).mean() > 10


def test_colour_does_not_tell_the_class():
    """The mean colour of a class' images varies far less between classes than within one."""
    means = np.array([[class_image(c, i, 24, 0).mean(axis=(0, 1)) for i in range(12)] for c in CLASSES])
    assert means.mean(axis=1).std(axis=0).max() < 0.6 * means.std(axis=1).mean()
