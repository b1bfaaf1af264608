"""What the tests run in processes of their own: pre-trainings that are killed, and one rank of several."""

import os
import signal
import sys
from pathlib import Path

import small_runs
import torch

from spd.training import checkpoint, loop
from spd.training.signals import PREEMPTED

SPD = {
    "base": None,
    "spd": {"eta": 0.5},
    "cutpaste": {"eta": 0.5, "local": "cutpaste"},
    "xent": {"eta": 0.5, "objective": "xent"},
    "image": {"eta": 0.5, "anchor": "image"},
    "both": {"eta": 0.5, "stop_gradient": "both"},
    "shared": {"eta": 0.5, "weak_draws": "shared"},
    "plus": {"eta": 0.5, "cosines": "plus"},
    "minus": {"eta": 0.5, "cosines": "minus"},
    "key": {"eta": 0.5, "moco_encoder": "key"},
    "together": {"eta": 0.5, "statistics": "shared"},
    "all": {"eta": 0.5, "running_statistics": "all"},
}
RESUMED = [
    ("simsiam", "spd"),
    ("moco", "spd"),
    ("simclr", "base"),
    ("simclr", "spd"),
    ("supervised", "spd"),
    ("simsiam", "xent"),
    ("moco", "together"),
]
ASKED_BY = {"moco": signal.SIGUSR1, "simclr": signal.SIGINT}
"""The signal that has a method's run save and end, where it is not SIGTERM."""
INTERRUPTED = 130
RANKED = [
    *((method, spd) for method in ("simsiam", "moco", "simclr", "supervised") for spd in ("base", "spd")),
    # the fewest collectives
    *(("moco", spd) for spd in ("cutpaste", "xent", "image", "both", "shared", "plus", "minus", "key")),
    *((method, spd) for method in ("moco", "simsiam") for spd in ("together", "all")),
    ("simsiam", "both"),
    ("simsiam", "xent"),
    ("simclr", "xent"),
    ("simclr", "image"),
    ("supervised", "image"),
    ("infonce", "base"),
    ("timm", "spd"),
]
# Large enough that BatchNorm is well conditioned: with 4 values a channel, a difference of 1e-16 grows to
# 1e-4 in 20 steps.
RANKED_VALUES = {
    "batch": 16,
    "batch_norm_group": 8,
    "lr": 0.005,
    "lr_scaling": "none",
    "views": {"strong": {"size": 24}, "weak": {"size": 24, "scale": (0.9, 1.0)}},
}


def recipe_of(method, **values):
    if method == "timm":  # norm layers that hold an activation; 48 px are well conditioned
        size = {"size": 48}
        return small_runs.recipe("simsiam", **{**values, "views": {"strong": size, "weak": size}})
    if method == "infonce":
        return small_runs.recipe("simclr", loss="infonce", **values)
    return small_runs.recipe(method, **values)


def die_before(step, signal_number):
    """Makes the process send itself a signal when step `step` (from 0) draws its views."""
    draw = loop.draw

    def deadly(options, **which):
        if which["step"] == step:
            os.kill(os.getpid(), signal_number)
        return draw(options, **which)

    loop.draw = deadly


def only_save_after(step):
    save = checkpoint.save

    def at_that_step(path, **content):
        if content["step"] == step:
            save(path, **content)

    checkpoint.save = at_that_step


def in_a_child(work):
    """Runs `work` in a fork and returns its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except SystemExit as leave:
            os._exit(leave.code)
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def resume(folder):
    for method, spd in RESUMED:
        recipe = recipe_of(method, checkpoint_minutes=0)
        for name in ("straight", "killed", "terminated"):
            (folder / f"{method} {spd}" / name).mkdir(parents=True)
        straight, killed, terminated = (
            folder / f"{method} {spd}" / name for name in ("straight", "killed", "terminated")
        )
        small_runs.train(straight, recipe_of(method), spd=SPD[spd])

        def be_killed(folder=killed, recipe=recipe, spd=spd):
            only_save_after(2)
            die_before(4, signal.SIGKILL)
            small_runs.train(folder, recipe, spd=SPD[spd])

        def be_terminated(folder=terminated, method=method, spd=spd):
            die_before(2, ASKED_BY.get(method, signal.SIGTERM))
            small_runs.train(folder, recipe_of(method), spd=SPD[spd])

        status = in_a_child(be_killed)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
        assert torch.load(killed / "checkpoint.pt", weights_only=True)["step"] == 2
        status = in_a_child(be_terminated)
        left = INTERRUPTED if ASKED_BY.get(method) == signal.SIGINT else PREEMPTED
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == left, status
        assert torch.load(terminated / "checkpoint.pt", weights_only=True)["step"] == 3
        torch.manual_seed(99)  # a resumed run must not depend on what the process did before
        small_runs.train(killed, recipe, spd=SPD[spd])
        small_runs.train(terminated, recipe_of(method), spd=SPD[spd])


def resume_ranks(folder):
    """One of two ranks: straight; killed and resumed; ended by a signal to the other rank alone and resumed.

    Each in a fork of its own with its own port (PORTS), since a process group outlives no kill.
    """
    rank, ports = int(os.environ["RANK"]), iter(os.environ["PORTS"].split())

    def together(name, *preparations):
        def work():
            for prepare in preparations:
                prepare()
            (folder / name).mkdir(exist_ok=True)
            values = {
                "batch": 16,
                "batch_norm_group": 8,
                "checkpoint_minutes": 0 if name == "killed" else 1000,
            }
            small_runs.train(folder / name, recipe_of("moco", **values), spd=SPD["spd"])

        os.environ["MASTER_PORT"] = next(ports)
        return in_a_child(work)

    assert together("straight") == 0
    status = together("killed", lambda: only_save_after(2), lambda: die_before(4, signal.SIGKILL))
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    if rank == 0:
        assert torch.load(folder / "killed/checkpoint.pt", weights_only=True)["step"] == 2
    told = (lambda: die_before(2, signal.SIGTERM),) if rank == 1 else ()
    status = together("terminated", *told)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == PREEMPTED, status
    if rank == 0:
        assert torch.load(folder / "terminated/checkpoint.pt", weights_only=True)["step"] == 3
    assert together("killed") == 0
    assert together("terminated") == 0


def ranks(folder):
    """Trains every method in float64; each rank saves its views of all steps and the state after 20 of 21
    steps."""
    rank = int(os.environ.get("RANK", "0"))
    for method, spd in RANKED:
        where = folder / f"{method} {spd}"
        where.mkdir(parents=True, exist_ok=True)
        seen, states = [], {}
        apply, save = loop.apply, checkpoint.save

        def recorded(*arguments, apply=apply, seen=seen):
            views = apply(*arguments)
            seen.append({name: x.clone() for name, x in views.items()})
            return views

        def kept(path, *, step, model, states=states, **_):
            if step == 20:
                states.update({key: value.clone() for key, value in model.items()})

        loop.apply, checkpoint.save = recorded, kept
        recipe = recipe_of(method, steps=21, precision="float64", checkpoint_minutes=0, **RANKED_VALUES)
        architecture = "timm:test_efficientnet" if method == "timm" else "resnet10_w4"
        small_runs.train(where, recipe, spd=SPD[spd], architecture=architecture)
        loop.apply, checkpoint.save = apply, save
        torch.save({"views": seen, "state": states}, where / f"rank{rank}.pt")


if __name__ == "__main__":
    {"resume": resume, "resume_ranks": resume_ranks, "ranks": ranks}[sys.argv[1]](Path(sys.argv[2]))
