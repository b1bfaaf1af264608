"""Detectors on a GPU give the CPU's answers."""

import numpy as np
import pytest

from spd.detectors.neighbours import Neighbours
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.padim import PaDiM
from spd.detectors.patchcore import PatchCore

GRIDS = {"layer1": (24, 28), "layer2": (40, 14), "layer3": (96, 7)}


def features(count, seed):
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    found = {}
    for stage, (channels, side) in GRIDS.items():
        values = rng.normal(size=(count, side, side, channels)) @ mixing.normal(size=(channels, channels)) + 3
        found[stage] = np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)
    return found


def problems():
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(700, 96)).astype(np.float32)
    yield "gauss", rng.normal(size=(300, 96)).astype(np.float32), bank
    yield "queries in the bank", bank[:300] + 0, bank
    far = (500 + rng.normal(size=(700, 3)) @ rng.normal(size=(3, 96))).astype(np.float32)
    yield "far from zero", far[:300] + rng.normal(size=(300, 96)).astype(np.float32) * 1e-2, far
    grid = rng.integers(0, 2, (700, 8)).astype(np.float32)
    yield "ties", rng.integers(0, 2, (300, 8)).astype(np.float32), grid


@pytest.mark.parametrize("problem", [pytest.param(p[1:], id=p[0]) for p in problems()])
@pytest.mark.parametrize("k", [1, 9])
@pytest.mark.parametrize("filter", ["float32", "bfloat16", "auto"])
def test_neighbours_are_those_of_brute_force(problem, k, filter):
    queries, bank = problem
    distances, indices = Neighbours(bank, "torch", filter, "cuda")(queries, k)
    every = np.square(queries[:, None].astype(np.float64) - bank[None]).sum(-1)
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(every, order, 1), rtol=1e-12)


@pytest.mark.parametrize(
    ("solver", "count", "dim"), [("dual", 20, 60), ("primal", 80, 60), ("auto", 200, 100)]
)
def test_padim_is_the_cpus(solver, count, dim):
    train, test = features(count, 1), features(6, 2)
    options = PaDiMOptions(dim=dim, solver=solver)
    want, found = (PaDiM(options, device).fit(train).score(test, (56, 56)) for device in ("cpu", "cuda"))
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("neighbours", [1, 9])
def test_patchcore_is_the_cpus(neighbours):
    train, test = features(30, 1), features(6, 2)
    options = PatchCoreOptions(stage_dim=64, dim=64, projection_dim=32, neighbours=neighbours, search="torch")
    models = [PatchCore(options, device).fit(train) for device in ("cpu", "cuda")]
    np.testing.assert_array_equal(models[1].memory_bank, models[0].memory_bank)
    want, found = (model.score(test, (56, 56)) for model in models)
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
