"""BatchNorm folding: the same features, to float32 rounding."""

import pytest
import torch
from torch import nn

from spd.backbones.architectures import build
from spd.backbones.folding import fold_batchnorm
from spd.backbones.stages import StageNetwork


def _lively(name):
    """A network whose BatchNorms do something: running statistics, scales and shifts drawn at random."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = build(name).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ):
                tensor.uniform_(low, high, generator=generator)
    return model


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18_w16", ["layer1", "layer3"]),
        ("resnet50_w16", ["layer2", "layer4"]),
        ("timm:tf_efficientnet_lite0", ["blocks.1", "blocks.4"]),
        ("timm:regnety_002", ["s1", "s3"]),
    ],
)
def test_every_batchnorm_goes_and_features_stay(name, stages):
    network = StageNetwork(_lively(name), stages)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    count = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    with torch.no_grad():
        before = network(x)
        assert fold_batchnorm(network, x) == count > 0
        after = network(x)
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for stage, maps in before.items():
        assert (maps - after[stage]).abs().max() <= 1e-5 * maps.abs().max()


def test_a_norm_before_its_convolution_stays():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert fold_batchnorm(model, torch.randn(2, 3, 8, 8)) == 0
    assert isinstance(model[0], nn.BatchNorm2d) and isinstance(model[3], nn.BatchNorm2d)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.norm.running_mean += 5

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


def test_a_convolution_used_twice_is_noticed():
    with pytest.raises(RuntimeError, match="changes this architecture's features"):
        fold_batchnorm(Branching().eval(), torch.randn(2, 3, 8, 8))
