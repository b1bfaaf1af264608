import numpy as np
import pytest
from sklearn.random_projection import johnson_lindenstrauss_min_dim

from spd.detectors.projection import draw_projection, johnson_lindenstrauss_dim, project


@pytest.mark.parametrize("n", [100, 20_000, 80_000, 163_856])
def test_width_is_scikit_learns(n):
    assert johnson_lindenstrauss_dim(n, 0.9) == johnson_lindenstrauss_min_dim(n, eps=0.9)


@pytest.mark.parametrize("kind", ["gaussian", "sparse"])
def test_squared_lengths_are_kept_on_average(kind):
    vectors = np.random.default_rng(0).normal(size=(200, 400)).astype(np.float32)
    projected = project(vectors, draw_projection(kind, 400, 256, 5))
    ratio = np.square(projected).sum(1) / np.square(vectors).sum(1)
    assert abs(ratio.mean() - 1) < 0.05
    np.testing.assert_allclose(ratio, 1, atol=0.5)


def test_sparse_density_is_one_over_the_root_of_the_width():
    matrix = draw_projection("sparse", 400, 256, 5)
    assert abs((matrix != 0).mean() - 1 / 20) < 0.002
    np.testing.assert_allclose(np.abs(matrix[matrix != 0]), np.sqrt(20 / 256))


def test_seed_decides():
    a, b, c = (draw_projection("gaussian", 30, 8, seed) for seed in (1, 1, 2))
    assert (a == b).all()
    assert (a != c).any()
