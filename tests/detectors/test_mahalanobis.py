import numpy as np
import pytest
import torch

from spd.detectors.mahalanobis import Pyramid, nested_groups, operations


@pytest.mark.parametrize("grids", [[(2, 2), (4, 4), (8, 8)], [(2, 3), (5, 5), (8, 7)], [(6, 6)]])
def test_groups_nest_and_cover_every_position_once(grids):
    levels = nested_groups(grids)
    height, width = grids[-1]
    assert sorted(levels[-1][0]) == list(range(height * width))
    for group, position in enumerate(levels[-1][0]):
        y, x = divmod(int(position), width)
        for (h, w), (native, parent) in zip(reversed(grids), reversed(levels), strict=True):
            assert native[group] == (y * h // height) * w + x * w // width  # nearest, as torch's interpolate
            group = parent[group] if parent is not None else None


@pytest.mark.parametrize("limit", [1, 1000, 10**9])
def test_blocks_partition_the_groups(limit):
    grids = [(2, 3), (5, 5), (8, 7)]
    pyramid = Pyramid([torch.zeros(h * w, 2, 1) for h, w in grids], grids, 0.01)
    blocks = list(pyramid.blocks(limit, 100.0))
    for depth, level in enumerate(pyramid.levels):
        edges = [block[depth] for block in blocks]
        assert [start for start, _ in edges] == [0, *(end for _, end in edges[:-1])]
        assert edges[-1][1] == len(level.native)
        if depth:
            for block in blocks:
                parents = level.parent[slice(*block[depth])]
                assert parents.min() >= block[depth - 1][0]
                assert parents.max() < block[depth - 1][1]
    assert (len(blocks) == 1) == (limit == 10**9)


def test_dual_costs_less_for_few_images_and_primal_for_many():
    widths, groups = [314, 157, 79], [196, 784, 3136]  # d = 550 of a ResNet-50 at 224
    assert operations(200, 83, widths, groups, True) < operations(200, 83, widths, groups, False)
    assert operations(720, 180, widths, groups, True) > operations(720, 180, widths, groups, False)


def test_estimate_covers_the_error_on_ill_conditioned_features():
    """The estimated error must not be below the measured one, or blocks would wrongly stay in float32."""
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 10.0, 100.0):
        spectrum = scale * 0.8 ** np.arange(60)
        train = torch.from_numpy((rng.normal(size=(4, 40, 60)) * spectrum).astype(np.float32))
        test = torch.from_numpy((rng.normal(size=(4, 8, 60)) * spectrum).astype(np.float32))
        pyramid = Pyramid([train], [(2, 2)], 0.01)
        for dual in (True, False):
            _, report = pyramid.squared_distances([test], dual=dual, tolerance=np.inf, block_bytes=10**6)
            assert report["positions_in_float64"] == 0
            assert report["relative_error_measured"] <= max(report["relative_error_estimated"], 2e-6)
