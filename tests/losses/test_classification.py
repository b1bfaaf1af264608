import math

import pytest
import torch

from spd.losses.classification import classification, spd_xent


def test_classification_of_equal_logits_is_the_logarithm_of_the_classes():
    assert classification(torch.zeros(5, 10), torch.arange(5)).item() == pytest.approx(math.log(10))


def test_spd_xent_calls_the_weak_view_class_0_and_the_perturbed_one_class_1():
    # p(class 1) = sigmoid(2) for the perturbed view, sigmoid(1) for the weak one
    plus, minus = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    expected = (math.log(1 + math.exp(1)) + math.log(1 + math.exp(-2))) / 2
    assert spd_xent(plus, minus).item() == pytest.approx(expected, rel=1e-6)
