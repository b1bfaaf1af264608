"""One process and two gloo ranks: the same views bit for bit, the same weights to rounding."""

import contextlib
import socket

import pytest
import torch

CASES = [
    *(f"{method} {spd}" for method in ("simsiam", "moco", "simclr", "supervised") for spd in ("base", "spd")),
    *(f"moco {spd}" for spd in ("cutpaste", "xent", "image", "both", "shared", "plus", "minus", "key")),
    *(f"{method} {spd}" for method in ("moco", "simsiam") for spd in ("together", "all")),
    *("simsiam both", "simsiam xent", "simclr xent", "simclr image", "supervised image"),
    "infonce base",
    "timm spd",
]


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


@pytest.fixture(scope="module")
def trained(worker, tmp_path_factory):
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_ports(1)[0], "WORLD_SIZE": "2"}
    processes = [worker("ranks", one)] + [worker("ranks", two, RANK=str(r), **together) for r in range(2)]
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    return one, two


@pytest.mark.parametrize("case", CASES)
def test_views_are_bitwise_equal(trained, case):
    one = torch.load(trained[0] / case / "rank0.pt")["views"]
    two = [torch.load(trained[1] / case / f"rank{rank}.pt")["views"] for rank in range(2)]
    assert len(one) == 21
    for step, views in enumerate(one):
        for name, view in views.items():
            assert torch.equal(view, torch.cat([two[0][step][name], two[1][step][name]])), (step, name)


@pytest.mark.parametrize("case", CASES)
def test_weights_queue_and_statistics_agree_after_20_steps(trained, case):
    one = torch.load(trained[0] / case / "rank0.pt")["state"]
    two = torch.load(trained[1] / case / "rank0.pt")["state"]
    assert one.keys() == two.keys() and one
    for key in one:
        torch.testing.assert_close(
            two[key], one[key], rtol=1e-9, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}"
        )


def test_spd_and_base_differ(trained):
    base, spd = (torch.load(trained[0] / f"simsiam {name}" / "rank0.pt")["state"] for name in ("base", "spd"))
    assert not torch.allclose(base["backbone.conv1.weight"], spd["method.backbone.conv1.weight"], atol=1e-6)


@pytest.fixture(scope="module")
def resumed(worker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resumed")
    together = {"MASTER_ADDR": "127.0.0.1", "PORTS": " ".join(free_ports(5)), "WORLD_SIZE": "2"}
    processes = [worker("resume_ranks", folder, RANK=str(rank), **together) for rank in range(2)]
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    return folder


@pytest.mark.parametrize("end", ["killed", "terminated"])
def test_two_ranks_that_were_ended_go_on_bitwise(resumed, end):
    # killed: both by SIGKILL, two steps after the last save; terminated: SIGTERM at one rank, which ends both
    for name in ("backbone.safetensors", "history.jsonl"):
        assert (resumed / end / name).read_bytes() == (resumed / "straight" / name).read_bytes()
    assert sorted(path.name for path in (resumed / end).iterdir()) == [
        "backbone.safetensors",
        "history.jsonl",
    ]
