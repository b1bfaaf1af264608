"""One process and two gloo ranks: the same views bit for bit, the same weights to rounding."""

import socket

import pytest
import torch

CASES = [
    *(f"{method} {spd}" for method in ("simsiam", "moco", "simclr", "supervised") for spd in ("base", "spd")),
    *(f"moco {spd}" for spd in ("cutpaste", "xent", "image", "both", "shared", "plus", "minus")),
    *("simsiam both", "simsiam xent", "simclr xent", "simclr image", "supervised image"),
    "ntxent base",
    "timm spd",
]


@pytest.fixture(scope="module")
def trained(worker, tmp_path_factory):
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
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
