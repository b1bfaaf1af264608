"""Three gloo ranks against one process that holds the whole batch: losses, BatchNorm and their gradients.

Run as a script, this file is one of the ranks.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from spd import distributed
from spd.backbones.batchnorm import GlobalBatchNorm, convert
from spd.losses.nce import infonce, ntxent

RANKS, ROWS = 3, 4
LOSSES = {"infonce": infonce, "ntxent": ntxent}


def whole_batch():
    """float64 views x, y (12, 5) and maps (12, 3, 4, 4), the same in every process."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((RANKS * ROWS, 5), (RANKS * ROWS, 5), (RANKS * ROWS, 3, 4, 4))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def network():
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 6))
    return convert(layers.double(), "global")


def results(x, y, maps, wrap=lambda model: model):
    """Everything that is compared, for the rows at hand."""
    out = {}
    for name, loss in LOSSES.items():
        z, z_hat = x.clone().requires_grad_(), y.clone().requires_grad_()
        value = loss(z, z_hat, 0.1)
        out[f"{name} of rows"] = torch.stack(torch.autograd.grad(value, [z, z_hat]), 1)
        model = wrap(network())
        loss(model(x), model(y), 0.1).backward()
        out[f"{name} of parameters"] = [p.grad for p in model.parameters()]
        out[f"{name} value"] = value.detach()
    norm = GlobalBatchNorm(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    maps = maps.clone().requires_grad_()
    out["normalised"] = norm(maps)
    gradients = torch.autograd.grad((out["normalised"] ** 3).sum(), [maps, norm.weight, norm.bias])
    out["normalised gradient"], out["of weights"] = gradients[0], torch.stack(gradients[1:])
    out["running"] = [norm.running_mean, norm.running_var]
    first = distributed.rank() == 0
    out["any rank"] = distributed.any_rank(first, not first, False)
    return out


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """(of one process, [of each rank])."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(RANKS)}
    together |= {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, folder / f"{rank}.pt"],
            env={**os.environ, **together, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(RANKS)
    ]
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    return results(*whole_batch()), [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_of_the_ranks_losses_is_that_of_one_process(outcomes, loss):
    one, ranks = outcomes
    close(torch.stack([rank[f"{loss} value"] for rank in ranks]).mean(), one[f"{loss} value"])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_each_row_is_that_of_one_process(outcomes, loss):
    one, ranks = outcomes
    rows = torch.cat([rank[f"{loss} of rows"] for rank in ranks])
    close(rows / RANKS, one[f"{loss} of rows"])  # DistributedDataParallel takes the mean over ranks


@pytest.mark.parametrize("loss", LOSSES)
def test_the_parameters_gradients_under_ddp_are_those_of_one_process(outcomes, loss):
    one, ranks = outcomes
    for rank in ranks:
        for got, expected in zip(rank[f"{loss} of parameters"], one[f"{loss} of parameters"], strict=True):
            close(got, expected)


def test_global_batch_norm_is_torchs_over_the_whole_batch(outcomes):
    _, ranks = outcomes
    maps = whole_batch()[2].requires_grad_()
    torchs = nn.BatchNorm2d(3).double()
    with torch.no_grad():
        torchs.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    normalised = torchs(maps)
    close(torch.cat([rank["normalised"] for rank in ranks]), normalised)
    gradient, *of_weights = torch.autograd.grad((normalised**3).sum(), [maps, torchs.weight, torchs.bias])
    close(torch.cat([rank["normalised gradient"] for rank in ranks]), gradient)
    close(sum(rank["of weights"] for rank in ranks), torch.stack(of_weights))
    for rank in ranks:
        close(rank["running"], [torchs.running_mean, torchs.running_var])


def test_a_flag_of_any_rank_is_seen_by_all(outcomes):
    _, ranks = outcomes
    assert [rank["any rank"] for rank in ranks] == [(True, True, False)] * RANKS


def test_in_one_process_everything_is_the_identity():
    x = torch.randn(3, 2, requires_grad=True)
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert distributed.gather(x) is x
    assert distributed.any_rank(True, False) == (True, False)
    assert torch.equal(distributed.mean(x), x) and not distributed.mean(x).requires_grad


def one_rank(path):
    distributed.join("cpu")
    own = slice(distributed.rank() * ROWS, (distributed.rank() + 1) * ROWS)
    own_rows = [part[own] for part in whole_batch()]
    torch.save(results(*own_rows, lambda m: DistributedDataParallel(m, broadcast_buffers=False)), path)


if __name__ == "__main__":
    one_rank(Path(sys.argv[1]))
