import math

import pytest
import torch

from spd.losses.cosine import cosine, simsiam, spd_cosine


def at(degrees):
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def test_simsiam_is_minus_the_mean_of_both_cosines():
    value = simsiam(at([0, 0]), 5 * at([90, 90]), at([60, 0]), 3 * at([60, 90]))
    # cos(p1, z2) = cos 60, cos 90; cos(p2, z1) = cos 30, cos 90
    assert value.item() == pytest.approx(-0.5 * (0.25 + math.cos(math.radians(30)) / 2), abs=1e-6)


def test_simsiam_lets_no_gradient_through_the_projections():
    tensors = [torch.randn(4, 3, requires_grad=True) for _ in range(4)]
    gradients = torch.autograd.grad(simsiam(*tensors), tensors, allow_unused=True)
    assert [g is None for g in gradients] == [False, False, True, True]


def test_spd_cosine_rewards_a_near_weak_view_and_a_far_perturbed_one():
    value = spd_cosine(at([0]), at([60]), 2 * at([90]))
    assert value.item() == pytest.approx(0 - 0.5, abs=1e-6)
    assert spd_cosine(at([0]), at([180]), at([0])).item() == pytest.approx(2, abs=1e-6)


def test_cosine_is_the_mean_over_rows():
    assert cosine(at([0, 0]), at([60, 180])).item() == pytest.approx(-0.25, abs=1e-6)


def test_half_precision_is_computed_in_float32():
    z = torch.randn(8, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert cosine(z, z).dtype == torch.float32


@pytest.mark.parity
def test_simsiam_equals_lightlys():
    lightly = pytest.importorskip("lightly.loss", reason="install the extra `parity`")
    peer = lightly.NegativeCosineSimilarity()
    p1, p2, z1, z2 = (torch.randn(6, 5, generator=torch.Generator().manual_seed(i)) for i in range(4))
    expected = 0.5 * (peer(p1, z2) + peer(p2, z1))
    torch.testing.assert_close(simsiam(p1, p2, z1, z2), expected)
