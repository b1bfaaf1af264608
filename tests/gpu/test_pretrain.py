"""The training loop on a GPU: the CPU's numbers in float64, resumed runs, bfloat16 and compiled networks."""

import json
import signal

import pytest
import torch

from spd.training import loop as pretrain
from spd.training.signals import Preempted

CASES = [
    *(f"{method} {spd}" for method in ("simsiam", "moco", "simclr", "supervised") for spd in ("base", "spd")),
    *("moco cutpaste", "moco xent", "moco both", "simclr image", "ntxent base", "timm spd"),
]


def train(loop, folder, case, device, **values):
    """Runs a case of the loop's tests in `folder`; returns its summary."""
    method, spd = case.split()
    folder.mkdir(exist_ok=True)
    architecture = "timm:test_efficientnet" if method == "timm" else "resnet10_w4"
    recipe = loop.recipe_of(method, **{**loop.RANKED_VALUES, **values})
    return loop.small_runs.train(
        folder, recipe, spd=loop.SPD[spd], architecture=architecture, device=device, seed=3
    )


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


@pytest.fixture
def views_of_the_cpu(monkeypatch):
    """Views made on the CPU for both, since 20 steps make much of their last bits."""
    apply = pretrain.apply

    def there(images, *arguments):
        return {name: x.to(images.device) for name, x in apply(images.cpu(), *arguments).items()}

    monkeypatch.setattr(pretrain, "apply", there)


@pytest.mark.parametrize("case", CASES)
def test_20_steps_in_float64_are_the_cpus(case, loop, tmp_path, views_of_the_cpu):
    values = {"steps": 20, "precision": "float64"}
    for device in ("cpu", "cuda"):
        train(loop, tmp_path / device, case, device, **values)
    want, found = (history(tmp_path / device) for device in ("cpu", "cuda"))
    assert len(found) == len(want) == 20
    for ours, theirs in zip(found, want, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-8, nan_ok=True)


@pytest.mark.parametrize("case", ["simsiam spd", "moco spd", "simclr base", "supervised spd"])
def test_a_preempted_run_goes_on_to_the_same_weights(case, loop, tmp_path, monkeypatch):
    values = {"steps": 12, "precision": "float64"}
    train(loop, tmp_path / "straight", case, "cuda", **values)
    draw = pretrain.draw

    def preempted(options, **which):
        if which["step"] == 5:
            signal.raise_signal(signal.SIGTERM)
        return draw(options, **which)

    monkeypatch.setattr(pretrain, "draw", preempted)
    with pytest.raises(Preempted):
        train(loop, tmp_path / "resumed", case, "cuda", **values)
    assert torch.load(tmp_path / "resumed" / "checkpoint.pt", weights_only=True)["step"] == 6
    monkeypatch.setattr(pretrain, "draw", draw)
    train(loop, tmp_path / "resumed", case, "cuda", **values)
    for ours, straight in zip(history(tmp_path / "resumed"), history(tmp_path / "straight"), strict=True):
        assert ours == pytest.approx(straight, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("case", ["simsiam spd", "moco spd", "simclr spd", "supervised spd"])
def test_bfloat16_stays_near_float32(case, compiled, loop, tmp_path):
    train(loop, tmp_path / "float32", case, "cuda", steps=3)
    summary = train(
        loop, tmp_path / "bfloat16", case, "cuda", steps=3, precision="bfloat16", compile=compiled
    )
    want, found = (history(tmp_path / precision)[0]["loss"] for precision in ("float32", "bfloat16"))
    assert found == pytest.approx(want, rel=0.03, abs=0.03)
    assert summary["timing"]["peak_gpu_memory_mib"] > 0
