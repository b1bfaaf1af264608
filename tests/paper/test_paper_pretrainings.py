"""Every pre-training of preset paper as config.yaml has it, with its real network and views, for two steps.

Only the batch (with BatchNorm's groups) and the number of steps are reduced, and the images are noise.
"""

import dataclasses
import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file

from spd.config import model as config
from spd.data import corpus
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings

PAPER = config.load(Path(__file__).parents[2] / "config.yaml", {"preset": "paper"})
TRAINED = {name: row for name, row in PAPER.pretrainings.items() if row.source is None}
SMALL = {"batch": 4, "batch_norm_group": 2, "steps": 2}


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, PAPER.corpus.size, PAPER.corpus.size), np.uint8)
    some = corpus.from_arrays(pixels, np.arange(8) * 125)
    classes = tuple(map(str, range(1000)))
    return dataclasses.replace(some, labels=np.arange(8) * 125, classes=classes, validation=np.array([3, 6]))


def test_the_sixteen():
    """The paper's tables need these: 8 of ResNet-50, 4 of Wide ResNet-50, 4 of SimSiam's ablation."""
    found = Counter((row.recipe, row.backbone, row.spd) for row in TRAINED.values())
    pairs = [(method, "resnet50") for method in ("supervised", "simsiam", "moco", "simclr")]
    pairs += [("supervised", "wide_resnet50_2"), ("simsiam", "wide_resnet50_2")]
    ablation = ("spd_eta0.5", "spd_eta1.0", "spd_cutpaste", "spd_xent")
    expected = [(*pair, spd) for pair in pairs for spd in ("none", "spd")]
    assert Counter([*expected, *(("simsiam", "resnet50", spd) for spd in ablation)]) <= found


@pytest.mark.paper
@pytest.mark.parametrize("name", TRAINED)
def test_two_steps_and_a_backbone_for_torchvision(name, images, tmp_path):
    row = TRAINED[name]
    recipe, spd = PAPER.recipes[row.recipe], PAPER.spd[row.spd]
    architecture = PAPER.backbones[row.backbone].architecture
    assert recipe.views.augmentation("q").size == 224
    small = recipe.model_copy(update=SMALL)
    settings = Settings(architecture=architecture, recipe=small, spd=spd, seed=row.seeds[0])
    outputs, threads = Outputs.in_folder(tmp_path), len(os.sched_getaffinity(0))
    pretrain(images, settings, outputs, device="cpu", threads=threads, progress=False)
    first, last = (json.loads(line) for line in outputs.history.read_text().splitlines())
    assert (first["step"], last["step"]) == (1, 2)
    assert all(math.isfinite(value) for line in (first, last) for value in line.values())
    assert ("cos_minus" in last) == (spd.eta > 0)
    assert ("perturbed_accuracy" in last) == (spd.eta > 0 and spd.objective_of(recipe) == "xent")
    assert 0 <= last["knn"] <= 1

    network = getattr(torchvision.models, architecture)()
    network.fc = torch.nn.Identity()
    network.load_state_dict(load_file(outputs.backbone), strict=True)
    outputs.backbone.unlink()  # hundreds of megabytes each
    assert network.bn1.num_batches_tracked >= 2 and network.bn1.running_mean.any()
    assert network.bn1.bias.any()  # starts at zero: the optimiser was there
    with torch.inference_mode():
        assert torch.isfinite(network.eval()(torch.randn(1, 3, 224, 224))).all()
