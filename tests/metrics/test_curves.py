"""Thinned curves: few points, the same picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spd.metrics.curves import Curve, image_curves, pixel_curves, thin
from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics


def distance_to_polyline(x, y, curve):
    """Largest distance from the points to the polyline, by brute force."""
    a = np.column_stack([curve.x[:-1], curve.y[:-1]])
    along = np.column_stack([curve.x[1:], curve.y[1:]]) - a
    length = np.maximum((along**2).sum(-1), 1e-300)
    worst = 0.0
    for px, py in zip(x, y, strict=True):
        offset = np.array([px, py]) - a
        share = np.clip((offset * along).sum(-1) / length, 0, 1)
        worst = max(worst, np.hypot(*(offset - share[:, None] * along).T).min())
    return worst


def scores_of(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.2
    return (rng.normal(size=n) + 1.2 * labels).astype(np.float32), labels


def test_short_curves_are_kept_whole_and_give_the_metrics_back():
    scores, labels = scores_of(200)
    curves, metrics = image_curves(scores, labels, n=10_000), image_metrics(scores, labels)
    assert np.trapezoid(curves["ROC"].y, curves["ROC"].x) == pytest.approx(metrics["AU-ROC"], abs=1e-12)
    assert np.trapezoid(curves["PR"].y, curves["PR"].x) == pytest.approx(metrics["AU-PR"], abs=1e-12)


@pytest.mark.parametrize("n", [100, 400])
def test_thinned_curves_stay_within_a_pixel(n):
    scores, labels = scores_of(60_000)
    whole, few = image_curves(scores, labels, n=10**6), image_curves(scores, labels, n=n)
    for name, curve in few.items():
        assert len(curve.x) <= n
        assert (curve.x[[0, -1]] == whole[name].x[[0, -1]]).all()
        every = slice(None, None, 37)
        assert distance_to_polyline(whole[name].x[every], whole[name].y[every], curve) < 1 / n
        assert set(zip(*curve, strict=True)) <= set(zip(*whole[name], strict=True))  # its own corners


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.integers(2, 40), st.integers(0, 2**31))
def test_thinning_any_rising_curve(points, n, seed):
    rng = np.random.default_rng(seed)
    x, y = (np.sort(rng.integers(0, 20, points)) / 20 for _ in range(2))
    curve = thin(x, y, n)
    assert 2 <= len(curve.x) <= max(n, 2)
    assert (np.diff(curve.x) >= 0).all() and (np.diff(curve.y) >= 0).all()
    assert (curve.x[0], curve.y[-1]) == (x[0], y[-1])
    assert set(zip(*curve, strict=True)) <= set(zip(x, y, strict=True))
    # The first corner to come back between the two ends is the farthest from their chord.
    three, ends = thin(x, y, 3), Curve(x[[0, -1]], y[[0, -1]])
    assert distance_to_polyline(three.x, three.y, ends) == pytest.approx(
        distance_to_polyline(x, y, ends), abs=1e-12
    )
    assert distance_to_polyline(x, y, thin(x, y, points)) == pytest.approx(0, abs=1e-12)


def test_long_curves_keep_the_extremes_of_every_column():
    """A spike narrower than a plot column survives the first reduction."""
    x = np.linspace(0, 1, 100_001)
    y = np.full_like(x, 0.5)
    y[43_210] = 0.9
    curve = thin(x, y, 5)
    assert 0.9 in curve.y and len(curve.x) <= 5


def test_pixel_curves_have_the_areas_of_the_metrics():
    rng = np.random.default_rng(1)
    masks = (rng.random((3, 24, 24)) < 0.1).astype(np.uint8)
    maps = (rng.normal(size=masks.shape) + masks).astype(np.float32)
    curves, metrics = pixel_curves(maps, masks, n=10_000), pixel_metrics(maps, masks, fpr_limit=1.0)
    for name, key in (("ROC", "AU-ROC"), ("PR", "AU-PR"), ("PRO", "AU-PRO")):
        assert np.trapezoid(curves[name].y, curves[name].x) == pytest.approx(metrics[key], abs=1e-12)
    assert set(pixel_curves(maps, masks, pro=False)) == {"ROC", "PR"}


def test_one_class_has_no_curve():
    assert image_curves(np.zeros(3), np.zeros(3, bool)) == {}
    with pytest.raises(ValueError, match="at least 2 points"):
        thin(np.zeros(3), np.zeros(3), 1)
