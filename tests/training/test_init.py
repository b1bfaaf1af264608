"""Continued pre-training: any method starts from a given backbone, also one that is no ResNet."""

from pathlib import Path

import numpy as np
import pytest

from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.config.model import load
from spd.data.corpus import from_arrays
from spd.tensors import open_tensors
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
LITE0 = "timm:tf_efficientnet_lite0"


@pytest.mark.parametrize("method", ["simsiam", "moco", "simclr", "supervised"])
def test_a_step_of_no_length_leaves_the_given_weights(method, tmp_path):
    start = tmp_path / "start.safetensors"
    import_backbone(BackboneOptions(source="random", architecture=LITE0, seed=3), start)
    tiny = load(CONFIG, {"preset": "tiny"})
    recipe = tiny.recipes[method].model_copy(update={"steps": 1, "lr": 1e-12, "batch": 16})
    pixels = np.random.default_rng(0).integers(0, 255, (24, 3, 32, 32), dtype=np.uint8)
    settings = Settings(architecture=LITE0, recipe=recipe, spd=tiny.spd["spd"], seed=0, init=start)
    outputs = Outputs.in_folder(tmp_path)
    pretrain(from_arrays(pixels, np.repeat(np.arange(4), 6)), settings, outputs, progress=False)
    (before, _), (after, metadata) = open_tensors(start), open_tensors(outputs.backbone)
    assert set(before) == set(after)
    learned = [key for key in before if "running" not in key and "num_batches" not in key]
    for key in learned:
        np.testing.assert_allclose(after[key], before[key], rtol=0, atol=1e-6, err_msg=key)
    assert any((after[key] != before[key]).any() for key in before if "running_mean" in key)
    assert LITE0 in metadata["architecture"]


@pytest.mark.parametrize("method", ["simsiam", "moco"])
def test_frozen_norm_keeps_the_given_statistics(runs, method, tmp_path):
    start = tmp_path / "start.safetensors"
    import_backbone(BackboneOptions(source="random", architecture="resnet10_w4"), start)
    recipe = runs.recipe(method, steps=2, frozen_norm=True)
    with pytest.raises(ValueError, match="frozen_norm: random weights have no statistics"):
        runs.train(tmp_path, recipe)
    runs.train(tmp_path, recipe, init=start)
    (before, _), (after, _) = open_tensors(start), open_tensors(tmp_path / "backbone.safetensors")
    for key in before:
        same = np.array_equal(after[key], before[key])
        assert same == ("running" in key or "num_batches" in key), key
