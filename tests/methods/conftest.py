"""A backbone of 4 channels and the smallest recipe of each method."""

import pytest
import torch

from spd.methods.options import parse_recipe

SMALL = {
    "simsiam": {"projector": (8, 8, 8), "predictor": 4},
    "moco": {"projector": (8, 6), "queue": 16},
    "simclr": {"projector": (8, 6)},
    "supervised": {},
}

NAMES = ("q", "k", "x", "anchor", "plus", "minus")


@pytest.fixture
def small_recipe():
    def make(method, **values):
        return parse_recipe({"method": method, "batch": 8, **SMALL[method], **values})

    return make


@pytest.fixture
def small_views():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(8, 3, 16, 16, generator=generator) for name in NAMES}
