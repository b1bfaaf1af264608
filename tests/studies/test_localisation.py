"""The dense proxy on a network whose maps are its pixels: it must find a patch that changes pixels, and only
that."""

import numpy as np
import pytest
import torch
from torch import nn

from spd.data.corpus import from_arrays
from spd.views.options import ViewsOptions
from studies import localisation


class Pixels(nn.Module):
    """Stage `fine`: the image itself; `blind`: noise that does not look at it."""

    def __init__(self, *_):
        super().__init__()

    def forward(self, x):
        generator = torch.Generator().manual_seed(int(x.shape[0]))
        return {"fine": x, "blind": torch.rand(len(x), 2, 4, 4, generator=generator)}


@pytest.fixture
def found(monkeypatch):
    monkeypatch.setattr(localisation, "load", lambda _: (None, None))
    monkeypatch.setattr(localisation, "StageNetwork", Pixels)
    rng = np.random.default_rng(0)
    images = from_arrays(rng.integers(0, 256, (150, 3, 32, 32), dtype=np.uint8), np.zeros(150))
    views = ViewsOptions.model_validate(
        {"strong": {"size": 32}, "weak": {"size": 32}, "local": {"area": (0.02, 0.05), "sigma": (0.01, 0.02)}}
    )
    return localisation.localisation("nowhere", images, np.arange(140), views, ("fine", "blind"), seed=0)


def test_a_stage_that_sees_pixels_finds_the_patch(found):
    assert found["fine"] > 0.99
    # a global change of colour hides some of it, not most
    assert 0.6 < found["jitter_fine"] < found["fine"]


def test_a_blind_stage_finds_nothing(found):
    assert found["blind"] == pytest.approx(0.5, abs=1e-6)  # no difference anywhere: all pixels are tied
    assert found["all"] == pytest.approx(found["fine"], abs=0.01)


def test_masks_are_the_patch():
    masks = localisation._masks(np.array([[2, 3], [0, 6]]), np.array([[1, 4], [2, 2]]), 8)
    assert masks.sum((1, 2)).tolist() == [4, 4]
    assert masks[0, 2, 3:7].all() and masks[1, :2, 6:].all()
