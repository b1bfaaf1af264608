import pytest
import torch
from torch.nn.functional import cross_entropy

from spd.backbones.architectures import build, feature_dim, pooled
from spd.detectors.finetuned.classifier import Classifier
from spd.losses.focal import focal_loss


@pytest.mark.parametrize("architecture", ["resnet10_w16", "timm:tf_efficientnet_lite0"])
def test_is_the_backbones_pooled_feature_and_a_two_way_head(architecture):
    torch.manual_seed(0)
    network = Classifier(build(architecture)).eval()
    x = torch.randn(2, 3, 64, 64)
    two = network.head(pooled(network.backbone, x))
    assert network.head.weight.shape == (2, feature_dim(network.backbone))
    torch.testing.assert_close(network(x), two[:, 1] - two[:, 0])
    labels = torch.tensor([0, 1])
    torch.testing.assert_close(focal_loss(network(x), labels, gamma=0), cross_entropy(two, labels))
