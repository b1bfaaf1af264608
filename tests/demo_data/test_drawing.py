import math

import numpy as np
import pytest

from demo_data.drawing import (
    Canvas,
    Grid,
    Noise,
    box,
    cosine_sine,
    coverage,
    length,
    polygon,
    segment,
    smoothstep,
    wave,
)
from demo_data.randomness import Draw

GRID = Grid.of_size(40, 30, 2.0)


@pytest.mark.parametrize("turns", [-1.3, -0.25, 0.0, 0.1, 0.25, 0.499, 0.5, 0.75, 0.9999, 7.6])
def test_cosine_and_sine_are_those_of_the_c_library_to_rounding(turns):
    expected = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    assert cosine_sine(turns) == pytest.approx(expected, abs=4e-15)


def test_grid_has_pixel_centres_and_windows_are_parts_of_it():
    assert GRID.x.shape == (60, 80)
    assert GRID.x[0, 0] == 0.25 and GRID.y[59, 0] == 29.75
    window = GRID.window(39.0, 2.0, 4.0)
    assert np.array_equal(window.x, GRID.x[window.rows, window.columns])
    near = (abs(GRID.x - 39.0) <= 4.0) & (abs(GRID.y - 2.0) <= 4.0)
    assert near[window.rows, window.columns].sum() == near.sum() > 0
    assert GRID.window(500.0, 500.0, 4.0).x.size == 0


@pytest.mark.parametrize(
    ("distance", "area"),
    [
        (lambda x, y: length(x - 20, y - 15) - 9, math.pi * 81),
        (lambda x, y: box(x - 20, y - 15, 8, 5), 160),
        (lambda x, y: box(x - 20, y - 15, 8, 5, 2), 160 - (4 - math.pi) * 4),
        (lambda x, y: segment(x, y, (12, 9), (26, 20)) - 3, math.pi * 9 + 6 * math.hypot(14, 11)),
        (lambda x, y: polygon(x, y, ((5, 5), (35, 8), (30, 25), (18, 12))), None),
    ],
)
def test_coverage_sums_to_the_area_of_the_shape(distance, area):
    if area is None:  # the shoelace formula
        p = ((5, 5), (35, 8), (30, 25), (18, 12))
        area = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(p, (*p[1:], p[0]), strict=True))) / 2
    got = coverage(distance(GRID.x, GRID.y), GRID).sum() / GRID.scale**2
    assert got == pytest.approx(area, rel=0.01)


def test_a_part_turned_by_a_quarter_looks_down():
    u, v = GRID.local(20, 15, 0.25)
    at = np.unravel_index(np.argmax(u), u.shape)
    assert GRID.y[at] > 29 and abs(v[:, 40]).max() < 0.26


def test_wave_and_smoothstep():
    t = np.linspace(-2, 2, 401)
    assert abs(wave(t) - np.sin(2 * np.pi * t)).max() < 0.06
    assert smoothstep(1.0, 3.0, np.array([0.0, 1.0, 2.0, 3.0, 9.0])).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(3.0, 1.0, np.array([0.0, 2.0, 9.0])).tolist() == [1, 0.5, 0]


def test_noise_passes_through_its_lattice_and_repeats():
    noise = Noise.drawn(Draw("noise"), cell=2.0, lattice=8)
    j, i = np.meshgrid(np.arange(8), np.arange(8))
    assert np.allclose(noise.at(j * 2.0, i * 2.0), noise.values)
    u = np.linspace(-5, 5, 50)
    assert np.allclose(noise.at(u, u), noise.at(u + 16.0, u - 16.0))
    assert abs(np.diff(noise.at(np.linspace(0, 16, 4001), np.zeros(4001)))).max() < 0.01


def test_blend_and_tint_touch_their_window_alone():
    canvas = Canvas(GRID, (0.5, 0.5, 0.5))
    window = GRID.window(10, 10, 2)
    canvas.blend(window, np.full(window.x.shape, 0.5), (1.0, 0.0, 0.5))
    canvas.tint(window, np.full(window.x.shape, 0.5), (2.0, 1.0, 0.0))
    assert np.allclose(canvas.pixels[window.rows, window.columns], (0.75 * 1.5, 0.25, 0.25))
    canvas.pixels[window.rows, window.columns] = 0.5
    assert (canvas.pixels == 0.5).all()
