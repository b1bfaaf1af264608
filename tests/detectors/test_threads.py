"""The number of threads changes no bit of what the 1-class detectors find."""

import numpy as np
import pytest
import torch

from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.padim import PaDiM
from spd.detectors.patchcore import PatchCore

SMALL = {"stage_dim": 32, "dim": 48, "projection_dim": 16}


def make(n, seed):
    rng = np.random.default_rng(seed)
    shapes = {"layer1": (24, 28), "layer2": (40, 14), "layer3": (64, 7)}
    return {
        stage: np.maximum(rng.normal(size=(n, width, side, side)), 0).astype(np.float32)
        for stage, (width, side) in shapes.items()
    }


@pytest.mark.parametrize(
    "detector",
    [
        lambda: PaDiM(PaDiMOptions(dim=40)),
        lambda: PatchCore(PatchCoreOptions(search="torch", **SMALL)),
        lambda: PatchCore(PatchCoreOptions(search="torch", reweighting=9, squared=False, **SMALL)),
    ],
    ids=["padim", "patchcore", "patchcore_reweighted"],
)
def test_one_two_and_four_threads_give_the_same_bytes(detector):
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            scores, maps = detector().fit(make(12, 1)).score(make(5, 2), (56, 56))
            found.append((scores.tobytes(), maps.tobytes()))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    assert np.ptp(np.frombuffer(found[0][0], np.float32)) > 0
