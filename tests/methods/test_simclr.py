import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from spd.methods.build import build

LABELS = torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize("loss", ["infonce", "ntxent"])
def test_loss(small_recipe, small_views, loss):
    model = build("resnet10_w4", small_recipe("simclr", loss=loss), classes=3)
    both = model.projector(model.backbone(torch.cat([small_views["q"], small_views["k"]])))
    z, z_hat = normalize(both, dim=1).chunk(2)
    if loss == "infonce":
        expected = cross_entropy(z @ z_hat.T / 0.1, torch.arange(8))
    else:
        both = torch.cat([z, z_hat])
        logits = (both @ both.T / 0.1).fill_diagonal_(-torch.inf)
        expected = cross_entropy(logits, torch.arange(16).roll(8))
    out = model(small_views, LABELS, 0)
    torch.testing.assert_close(out["loss"], expected)
    assert out["z"].shape == (8, 6)


def test_expected_loss(small_recipe):
    assert build("resnet10_w4", small_recipe("simclr"), classes=3).expected_loss == math.log(15)
    infonce = small_recipe("simclr", loss="infonce")
    assert build("resnet10_w4", infonce, classes=3).expected_loss == math.log(8)


def test_the_head_and_the_start_are_the_repositorys(small_recipe):
    model = build("resnet10_w4", small_recipe("simclr"), classes=3)
    names = [type(m).__name__ for m in model.projector]
    assert names == ["Linear", "GlobalBatchNorm", "ReLU", "Linear", "GlobalBatchNorm"]
    assert [m.bias for m in model.projector if isinstance(m, torch.nn.Linear)] == [None, None]
    assert model.projector[1].bias.requires_grad and model.projector[-1].weight.requires_grad
    # model_util.py: neither bias nor ReLU after the final layer
    assert not model.projector[-1].bias.requires_grad and not model.projector[-1].bias.any()
    assert model.backbone.layer2[0].bn2.weight.abs().max() == 0  # resnet.py: init_zero
