import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from spd.data import corpus
from spd.training import probe
from spd.views.options import ViewsOptions


def clusters(count, seed):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % 4
    return centres[labels] + 0.9 * torch.randn(count, 6, generator=generator), labels


def test_knn_equals_sklearn_with_the_same_weights():
    (bank, bank_labels), (queries, labels) = clusters(300, 1), clusters(301, 2)

    def votes(distance):  # unit vectors: cos = 1 - distance^2 / 2
        return np.exp((1 - distance**2 / 2) / 0.1)

    unit = [nn.functional.normalize(x, dim=1).numpy() for x in (bank, queries)]
    peer = KNeighborsClassifier(20, weights=votes, algorithm="brute").fit(unit[0], bank_labels)
    got = probe.knn(bank, bank_labels, queries, labels, classes=4, k=20)
    assert got == pytest.approx(peer.score(unit[1], labels), abs=1e-9)
    assert 0.5 < got < 1


def test_knn_takes_all_of_a_small_bank():
    bank, labels = torch.eye(3), torch.tensor([0, 1, 2])
    assert probe.knn(bank, labels, bank * 5, labels, classes=3, k=200) == 1.0


def test_linear_equals_sklearn():
    (x, y), (queries, truth) = clusters(200, 1), clusters(200, 2)
    mean, std = x.mean(0), x.std(0)
    # sklearn: sum of losses + |w|^2 / (2 C); ours: mean of losses + 1e-3 |w|^2
    peer = LogisticRegression(C=1 / (2 * 1e-3 * 200), max_iter=1000, tol=1e-8).fit((x - mean) / std, y)
    expected = peer.score((queries - mean) / std, truth)
    got = probe.linear(x.double(), y, queries.double(), truth, classes=4)
    assert got == pytest.approx(expected, abs=0.01)
    assert 0.5 < expected < 1


class MeanColour(nn.Module):
    """Sees what is global only: the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.mean((2, 3)) * self.one


class EveryPixel(MeanColour):
    """Sees each pixel against the mean of its channel, which a change of brightness only scales."""

    def forward(self, x):
        return (x - x.mean((2, 3), keepdim=True)).flatten(1) * self.one


def test_sensitivity_weighs_local_against_global_change():
    rng = np.random.default_rng(0)
    images = corpus.from_arrays(rng.integers(0, 256, (300, 3, 24, 24), dtype=np.uint8), np.zeros(300))
    brightness = {"brightness": 0.4, "contrast": 0, "saturation": 0, "hue": 0, "p": 1}
    weak = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "grayscale": 0, "blur": {"p": 0}}
    weak |= {"size": 16, "jitter": brightness}
    views = ViewsOptions.model_validate({"strong": {"size": 16}, "weak": weak})
    indices = np.arange(270)  # more than one chunk
    coarse = probe.sensitivity(MeanColour().eval(), images, indices, views, seed=0)
    fine = probe.sensitivity(EveryPixel().eval(), images, indices, views, seed=0)
    for values in (coarse, fine):
        assert values["ratio"] == pytest.approx((1 - values["cos_minus"]) / (1 - values["cos_plus"]))
    assert fine["ratio"] > 10 * coarse["ratio"] > 0
    assert probe.sensitivity(EveryPixel().eval(), images, indices, views, seed=0) == fine


class Perturbed(nn.Module):
    """Says "perturbed" (class 1) of every view whose mean is above `bound`."""

    def __init__(self, bound):
        super().__init__()
        self.bound = nn.Parameter(torch.tensor(bound))
        self.method = nn.Module()
        self.method.views = ("x",)

    def embed_pair(self, plus, minus):
        return plus.mean((1, 2, 3)), minus.mean((1, 2, 3))

    def perturbed(self, z):
        return torch.stack([torch.zeros_like(z), z - self.bound], 1)


@pytest.mark.parametrize("bound", [0.0, 100.0])
def test_perturbed_is_the_accuracy_over_fresh_views_with_its_interval(monkeypatch, bound):
    rng = np.random.default_rng(0)
    images = corpus.from_arrays(rng.integers(0, 256, (300, 3, 8, 8), dtype=np.uint8), np.zeros(300))
    drawn = {name: torch.from_numpy(rng.normal(size=(300, 1, 1, 1))) for name in ("plus", "minus")}
    drawn["minus"] += 1
    seen = []

    def views(batch, sizes, draws, options):
        seen.append(draws)
        start = 256 * (len(seen) - 1)
        return {name: x[start : start + len(batch)] for name, x in drawn.items()}

    monkeypatch.setattr(probe, "apply", views)
    found = probe.perturbed(Perturbed(bound), images, np.arange(300), ViewsOptions(), seed=3)
    right = ((drawn["plus"] <= bound).double() + (drawn["minus"] > bound).double()).flatten() / 2
    assert found["perturbed_accuracy"] == pytest.approx(float(right.mean()))
    half = 1.96 * float(right.std()) / math.sqrt(300)
    assert found["perturbed_ci_high"] - found["perturbed_ci_low"] == pytest.approx(2 * half)
    assert len(seen) == 2 and not np.array_equal(seen[0]["x"]["crop_place"], seen[1]["x"]["crop_place"])
    flagged = probe.notes(found)
    assert bool(flagged) == (bound == 100)  # it says "not perturbed" of everything
    assert not flagged or "50.0 % [50.0, 50.0], which is chance" in flagged[0]
    assert probe.notes({}) == []


def test_features_do_not_depend_on_the_chunk():
    rng = np.random.default_rng(0)
    images = corpus.from_arrays(rng.integers(0, 256, (10, 3, 24, 24), dtype=np.uint8), np.zeros(10))
    whole = probe.features(EveryPixel(), images, np.arange(10), ViewsOptions(), 16)
    assert whole.shape == (10, 3 * 16 * 16)
    one = probe.features(EveryPixel(), images, np.array([7]), ViewsOptions(), 16)
    torch.testing.assert_close(whole[7:8], one)


def test_a_probe_leaves_the_mode_as_it_was():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).train()
    module[1].eval()
    with probe.evaluating(module):
        assert not module.training and not module[0].training
    assert module[0].training and not module[1].training
    assert math.isclose(float(module[0].running_mean.sum()), 0)
