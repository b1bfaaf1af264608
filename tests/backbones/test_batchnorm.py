import copy

import pytest
import timm
import torch
import torch.distributed as dist
from torch import nn

from spd.backbones import batchnorm
from spd.backbones.batchnorm import GhostBatchNorm, GlobalBatchNorm, convert
from spd.distributed import world_size


def trained(norm, batches):
    norm.train()
    outputs = [norm(x) for x in batches]
    return outputs, norm.state_dict()


@pytest.mark.parametrize("shape", [(8, 3, 5, 5), (8, 3)])
def test_in_one_process_global_is_torchs(shape):
    peer = nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)
    ours = convert(nn.Sequential(copy.deepcopy(peer)), "global")[0]
    assert isinstance(ours, GlobalBatchNorm)
    assert world_size() == 1
    batches = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    (expected, expected_state), (got, state) = trained(peer, batches), trained(ours, batches)
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(state[key], expected_state[key]) for key in expected_state)


def test_ghost_normalises_each_group_by_itself():
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 4, requires_grad=True)
    ghost = convert(nn.Sequential(nn.BatchNorm2d(3)), "ghost", group=4)[0]
    peer = nn.BatchNorm2d(3)
    weights = torch.randn(8, 3, 4, 4)
    expected = torch.cat([peer(part) for part in x.split(4)])
    got = ghost(x)
    torch.testing.assert_close(got, expected)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (got, expected)]
    torch.testing.assert_close(*gradients)
    # one update, with the mean of the groups' statistics (unbiased variance, as torch's)
    variances = torch.stack([part.var((0, 2, 3)) for part in x.split(4)]).mean(0)
    torch.testing.assert_close(ghost.running_mean, 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(ghost.running_var, 0.9 + 0.1 * variances)


def test_ghost_with_one_group_is_torchs():
    x = torch.randn(6, 3, 4, 4)
    ghost, peer = convert(nn.Sequential(nn.BatchNorm2d(3)), "ghost", group=32)[0], nn.BatchNorm2d(3)
    torch.testing.assert_close(ghost(x), peer(x))
    ghost.eval(), peer.eval()
    torch.testing.assert_close(ghost(x), peer(x))


@pytest.mark.parametrize("kind", ["global", "ghost"])
def test_running_statistics_are_kept_where_asked(kind):
    norm = convert(nn.Sequential(nn.BatchNorm2d(3)), kind, group=4)
    x = torch.randn(8, 3, 4, 4)
    expected = copy.deepcopy(norm)(x)
    before = copy.deepcopy(norm.state_dict())
    with batchnorm.keeping_running_statistics(norm):
        assert torch.equal(norm(x), expected)
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
    norm(x)
    assert int(norm[0].num_batches_tracked) == 1


def test_ghost_refuses_a_batch_that_its_groups_do_not_fill():
    ghost = GhostBatchNorm(3)
    ghost.group = 4
    with pytest.raises(ValueError, match="batch_norm_group 4"):
        ghost(torch.randn(6, 3))
    with pytest.raises(ValueError, match="expected"):
        ghost(torch.randn(6))


def test_conversion_keeps_parameters_keys_and_affine():
    network = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False), nn.Sequential(nn.BatchNorm1d(4))
    )
    keys, parameters = list(network.state_dict()), [id(p) for p in network.parameters()]
    convert(network, "global", momentum=0.2)
    assert list(network.state_dict()) == keys
    assert [id(p) for p in network.parameters()] == parameters
    assert network[1].weight is None
    assert network[2][0].momentum == 0.2


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "regnetx_002", "mobilenetv3_small_050", "resnet18"]
)
@pytest.mark.parametrize("kind", ["global", "ghost"])
def test_converted_networks_of_timm_compute_what_timms_own_do(name, kind):
    # timm's norm layers hold an activation, which must not go with the layer
    torch.manual_seed(0)
    peer = timm.create_model(name, num_classes=0, drop_rate=0.0)
    ours = convert(copy.deepcopy(peer), kind, group=32, momentum=0.1)
    assert list(ours.state_dict()) == list(peer.state_dict())
    for norm in (m for m in peer.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.1
    x = torch.randn(4, 3, 64, 64)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(x), peer.train(mode)(x))
    torch.testing.assert_close(ours.state_dict(), peer.state_dict())


@pytest.mark.parametrize("affine", [True, False])
def test_among_ranks_global_saves_its_input_alone(monkeypatch, affine):
    # what one process's batch_norm saves: float32 copies would double a training's memory on several GPUs
    monkeypatch.setattr(batchnorm, "world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather", lambda parts, x: [part.copy_(x) for part in parts])
    norm = GlobalBatchNorm(3, affine=affine)
    x = torch.randn(8, 3, 10, 10).bfloat16().requires_grad_()
    saved = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
    ):
        assert norm(x).dtype == torch.bfloat16
    own = {p.data_ptr() for p in norm.parameters()}
    sizes = [t.untyped_storage().nbytes() for at, t in saved.items() if at not in own]
    assert sorted(sizes) == [3 * 4, 3 * 4, 2 * x.numel()]


def test_a_layer_whose_forward_is_not_known_is_refused():
    class Scaled(nn.BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(ValueError, match="Scaled of Sequential cannot be shared among ranks: known are"):
        convert(nn.Sequential(Scaled(3)), "global")
