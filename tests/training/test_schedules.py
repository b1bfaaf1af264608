import math
from itertools import pairwise

import pytest
import torch

from spd.training.schedules import base_rate, rate


def test_base_rates_of_the_repositories():
    assert base_rate(0.05, "linear", 512) == pytest.approx(0.1)  # SimSiam
    assert base_rate(0.3, "linear", 4096) == pytest.approx(4.8)  # SimCLR
    assert base_rate(0.075, "sqrt", 4096) == pytest.approx(4.8)  # SimCLR, the other rule meets it there
    assert base_rate(0.03, "none", 1024) == 0.03  # MoCo


def test_cosine_equals_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.4)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30)
    for step in range(30):
        assert rate(step, base=0.4, steps=30) == pytest.approx(peer.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        peer.step()


def test_cosine_by_epoch_is_constant_within_an_epoch():
    # adjust_learning_rate of the MoCo and SimSiam repositories: 0.5 (1 + cos(pi epoch / epochs))
    for step in range(40):
        expected = 0.5 * (1 + math.cos(math.pi * (step // 10) / 4))
        assert rate(step, base=1, steps=40, every=10) == pytest.approx(expected)


def test_warm_up_rises_to_the_base_and_the_cosine_starts_there():
    rates = [rate(step, base=2, steps=20, warmup=4) for step in range(20)]
    assert rates[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert rates[12] == pytest.approx(1.0)  # half of the cosine
    assert all(a > b for a, b in pairwise(rates[4:]))


def test_milestones_divide_by_ten():
    # torchvision: StepLR(30 epochs, gamma 0.1) over 90 epochs, here of 10 steps
    rates = [
        rate(step, base=0.1, steps=900, schedule="step", milestones=(1 / 3, 2 / 3), every=10)
        for step in (0, 299, 300, 599, 600, 899)
    ]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_constant():
    assert {rate(step, base=0.3, steps=9, schedule="constant") for step in range(9)} == {0.3}
