import pytest
import torch
from torch import nn

from spd.methods.options import parse_recipe
from spd.training.optimisers import LARS, build, set_rate


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_lars_by_hand():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))  # norm 5
    optimiser = LARS([w], lr=0.5, momentum=0.9, weight_decay=0.5, trust_coefficient=0.01)
    w.grad = torch.tensor([-0.5, -2.0])  # with weight decay (1, 0), norm 1
    optimiser.step()
    torch.testing.assert_close(w.data, torch.tensor([3.0 - 0.5 * 0.01 * 5, 4.0]))
    before = w.data.clone()
    w.grad = -0.5 * w.data  # cancels the weight decay: only momentum moves the weight
    optimiser.step()
    torch.testing.assert_close(w.data, before - 0.9 * torch.tensor([0.025, 0.0]))


def test_lars_without_adaptation_is_momentum_with_the_rate_inside():
    a, b = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    ours = LARS([{"params": [a], "adapt": False}], lr=0.1, momentum=0.9)
    torchs = torch.optim.SGD([b], lr=0.1, momentum=0.9)  # equal while the rate is constant
    for step in range(4):
        for optimiser, w in ((ours, a), (torchs, b)):
            w.grad = w.data * (step + 1)
            optimiser.step()
    torch.testing.assert_close(a.data, b.data)


@pytest.mark.parametrize("optimiser", ["sgd", "lars"])
def test_norm_and_bias_are_left_out_where_the_recipe_says_so(optimiser):
    network = model()
    recipe = parse_recipe(
        {"method": "simclr", "optimiser": optimiser, "weight_decay": 0.5, "exclude_norm_and_bias": True}
    )
    groups = build(network, recipe).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert [decay[id(p)] for p in network.parameters()] == [0.5, 0, 0, 0, 0.5, 0]
    if optimiser == "lars":
        adapt = {id(p): group["adapt"] for group in groups for p in group["params"]}
        assert [adapt[id(p)] for p in network.parameters()] == [True, False, False, False, True, False]


def test_weight_decay_on_everything_by_default():
    groups = build(model(), parse_recipe({"method": "simsiam"})).param_groups
    assert [group["weight_decay"] for group in groups] == [1e-4]


def test_the_predictor_keeps_its_rate():
    network = model()
    optimiser = build(network, parse_recipe({"method": "simsiam"}), fixed=network[2])
    set_rate(optimiser, 0.01, 0.1)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert [rates[id(p)] for p in network.parameters()] == [0.01] * 4 + [0.1] * 2


def test_frozen_parameters_are_not_updated():
    network = model()
    network[0].requires_grad_(False)
    optimiser = build(network, parse_recipe({"method": "moco"}))
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 4
