import sys

import numpy as np
import pytest

from spd.detectors.neighbours import Neighbours


def brute_force(queries, bank, k):
    distances = np.square(queries[:, None].astype(np.float64) - bank[None]).sum(-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


def cases():
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(700, 96)).astype(np.float32)
    yield "gauss", rng.normal(size=(300, 96)).astype(np.float32), bank
    yield "queries in the bank", bank[:300] + 0, bank
    far = (500 + rng.normal(size=(700, 3)) @ rng.normal(size=(3, 96))).astype(np.float32)
    yield "far from zero", far[:300] + rng.normal(size=(300, 96)).astype(np.float32) * 1e-2, far
    yield "squares beyond float32", 1e21 * bank[:300, ::-1], 1e21 * bank
    grid = rng.integers(0, 2, (700, 8)).astype(np.float32)
    yield "ties", rng.integers(0, 2, (300, 8)).astype(np.float32), grid


@pytest.mark.parametrize(("name", "queries", "bank"), [pytest.param(*case, id=case[0]) for case in cases()])
@pytest.mark.parametrize("k", [1, 9])
@pytest.mark.parametrize("filter", ["float32", "bfloat16"])
def test_torch_equals_brute_force_indices_included(name, queries, bank, k, filter):
    distances, indices = Neighbours(bank, "torch", filter)(queries, k)
    expected, order = brute_force(queries, bank, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "queries", "bank"), [pytest.param(*case, id=case[0]) for case in cases()][:3]
)
@pytest.mark.parametrize("k", [1, 9])
def test_faiss_gives_the_same_answers(name, queries, bank, k):
    pytest.importorskip("faiss")
    distances, indices = Neighbours(bank, "faiss")(queries, k)
    ours, order = Neighbours(bank, "torch")(queries, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(distances, ours)


def test_missing_faiss_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="extra `cpu`"):
        Neighbours(np.zeros((3, 4), np.float32), "faiss")


def test_more_neighbours_than_the_bank_holds():
    with pytest.raises(ValueError, match="4 neighbours asked of a memory of 3"):
        Neighbours(np.zeros((3, 4), np.float32))(np.zeros((1, 4), np.float32), 4)


def test_auto_takes_the_faster_library():
    pytest.importorskip("faiss")
    bank = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32)
    assert Neighbours(bank, filter="bfloat16").index is None
    assert Neighbours(bank, filter="float32").index is not None
