"""The compiled loops against numpy and scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from spd.metrics.kernels import group_positives, region_pixels, scores_of_keys


def keys_of(scores):
    """Keys of (N,) float32, read off an all-positive one-row image, in the order of its pixels."""
    packed, _ = region_pixels(scores[None].view(np.uint32), np.ones((1, len(scores)), np.uint8))
    return (packed >> np.uint64(32)).astype(np.uint32)


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32, allow_nan=False)))
def test_keys_order_as_floats_do(scores):
    keys = keys_of(scores)
    assert np.array_equal(keys[:, None] < keys, scores[:, None] < scores)
    assert np.array_equal(keys[:, None] == keys, scores[:, None] == scores)  # -0.0 == 0.0
    assert np.array_equal(scores_of_keys(keys), scores)


def test_regions_are_scipys_eight_connected_ones():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.05, 0.3, 0.5, 0.8, 1.0):
        for shape in ((1, 1), (1, 30), (30, 1), (17, 23), (40, 40)):
            mask = (rng.random(shape) < density).astype(np.uint8)
            labelled, n = ndimage.label(mask, structure=np.ones((3, 3)))
            areas = np.bincount(labelled.ravel())[labelled[mask == 1]]
            packed, regions = region_pixels(np.zeros(shape, np.uint32), mask)
            assert regions == n
            assert np.array_equal(packed & np.uint64(0xFFFFFFFF), areas)


def test_a_spiral_is_one_region():
    """Runs that meet only at the spiral's end: roots must be found through chains of parents."""
    mask = np.zeros((31, 31), np.uint8)
    row, column, step = 0, 0, (0, 1)
    for length in (30, 30, 30, 28, 28, 26, 26, 24, 24, 22, 22, 20, 20, 18, 18, 16, 16):
        for _ in range(length):
            mask[row, column] = 1
            row, column = row + step[0], column + step[1]
        step = (step[1], -step[0])
    assert ndimage.label(mask, structure=np.ones((3, 3)))[1] == 1
    packed, regions = region_pixels(np.zeros(mask.shape, np.uint32), mask)
    assert regions == 1
    assert set(packed & np.uint64(0xFFFFFFFF)) == {mask.sum()}


def test_grouping_adds_counts_and_shares():
    packed = np.array([7 << 32 | 2, 7 << 32 | 4, 9 << 32 | 4], np.uint64)
    keys, counts, shares = group_positives(packed)
    assert keys.tolist() == [7, 9] and counts.tolist() == [2, 1] and shares.tolist() == [0.75, 0.25]
