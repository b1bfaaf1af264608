import math
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spd.backbones.architectures import build
from spd.config.model import load
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.finetuned.unet import UNet
from workflow_scripts.planning.twoclass_cost import Cost, cost, plan

CONFIG = Path(__file__).resolve().parents[2].parent / "config.yaml"


def test_counts_what_a_real_scoring_and_training_count():
    options = UNetOptions(epochs=1, min_steps=1, decoder_channels=(8, 8, 8, 8, 8))
    network = UNet(build("resnet10_w16"), options)
    x = torch.randn(2, 3, 64, 64)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network.eval()(x)
    with FlopCounterMode(display=False) as both:
        network.train()(x).mean().backward()

    def counted(train, test):
        return cost("resnet10_w16", options, (64, 64), train_images=train, test_images=test).flops

    assert counted(8, 10) - counted(8, 0) == pytest.approx(10 * forward.get_total_flops() / 2)
    assert counted(8, 0) == pytest.approx(8 * both.get_total_flops() / 2)


def test_resnet50_at_224_has_the_known_number_of_operations():
    options = ClassifierOptions(epochs=1, min_steps=1)
    one = cost("resnet50", options, (224, 224), train_images=8, test_images=1).flops
    none = cost("resnet50", options, (224, 224), train_images=8, test_images=0).flops
    assert (one - none) / 2 == pytest.approx(4.09e9, rel=0.01)  # multiply-adds, torchvision's own table


def test_the_papers_tables_are_2112_trainings():
    experiment = load(CONFIG, {"preset": "paper"})
    costs = plan(experiment)
    assert {key: of.trainings for key, of in costs.items()} == {
        ("twoclass_fewshot", "classifier"): 960,
        ("twoclass_fewshot", "unet"): 960,
        ("twoclass_highshot", "classifier"): 96,
        ("twoclass_highshot", "unet"): 96,
    }
    everything = sum(costs.values(), Cost())
    assert everything.trainings == 2112
    low, high = everything.gpu_hours("A100")
    assert 0 < low < high < math.inf
    with pytest.raises(ValueError, match="there are A100, V100"):
        everything.gpu_hours("abacus")
