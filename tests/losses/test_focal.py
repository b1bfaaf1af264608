import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torchvision.ops import sigmoid_focal_loss

from spd.losses.focal import focal_loss


def problem(seed=0, shape=(3, 5, 4)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    return logits, (torch.rand(shape, generator=generator) < 0.3).double()


@given(gamma=st.sampled_from([0, 1.0, 2.0, 3.5]), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_equals_segmentation_models_pytorch(gamma, seed):
    logits, targets = problem(seed)
    peer = smp.losses.FocalLoss("binary", gamma=gamma)(logits, targets)
    assert focal_loss(logits, targets, gamma=gamma) == pytest.approx(peer.item(), rel=1e-9)


def test_alpha_and_gradient_equal_torchvision():
    logits, targets = problem()
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    focal_loss(ours, targets, gamma=2, alpha=0.25).backward()
    sigmoid_focal_loss(theirs, targets, alpha=0.25, gamma=2, reduction="mean").backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gamma_zero_is_the_two_way_cross_entropy():
    generator = torch.Generator().manual_seed(1)
    two = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    labels = torch.arange(9) % 2
    assert focal_loss(two[:, 1] - two[:, 0], labels, gamma=0) == pytest.approx(
        cross_entropy(two, labels).item(), rel=1e-12
    )


def test_confident_logits_have_finite_loss_and_gradient():
    logits = torch.tensor([200.0, -200.0, 200.0, -200.0], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([1, 0, 0, 1]), gamma=2)
    loss.backward()
    assert loss.item() == pytest.approx(100.0)
    assert torch.isfinite(logits.grad).all()
