import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from spd.methods.build import build


def test_loss_accuracy_and_feature(small_recipe, small_views):
    model = build("resnet10_w4", small_recipe("supervised"), classes=3)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    out = model(small_views, labels, 0)
    h = model.backbone(small_views["x"])
    logits = h @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(out["loss"], cross_entropy(logits, labels))
    assert out["accuracy"].item() == (logits.argmax(1) == labels).float().mean().item()
    torch.testing.assert_close(out["z"], h)
    assert model.expected_loss == math.log(3)


def test_one_class_has_nothing_to_learn(small_recipe):
    with pytest.raises(ValueError, match="needs two classes or more, and the corpus has one"):
        build("resnet10_w4", small_recipe("supervised"), classes=1)
    build("resnet10_w4", small_recipe("simsiam"), classes=1)
