"""The paper's pre-trainings on one GPU: images/s, memory, where the time goes; and nearest neighbours there.

Networks, views, heads, precision (bfloat16) and losses of preset paper; noise of 256 px as images, from a
mapped file, as the packed corpus is. Batch and steps are other: one GPU holds no batch of 4096. A rate is
that of the steps after the first few, in each of which the loop waits for the GPU once, as it always does.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import ROOT, benchmark, ratio, table, take_turns

from spd.config.model import load
from spd.data.corpus import Corpus, from_arrays
from spd.detectors.neighbours import Neighbours
from spd.methods.options import Recipe, SPDOptions
from spd.training import loop
from spd.training.monitor import Monitor
from spd.training.settings import Outputs, Settings
from workflow_scripts.planning.counting import training_flops

CONFIG = ROOT / "config.yaml"
METHODS = ("supervised", "simsiam", "moco", "simclr")
PARTS = ("data", "views", "forward", "backward")


def corpus(folder: Path, count: int) -> Corpus:
    file = folder / "images.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (count, 3, 256, 256), np.uint8))
    return from_arrays(np.load(file, mmap_mode="r"), np.arange(count) % 1000)


@contextmanager
def step_times() -> Iterator[list[float]]:
    """When each step begins to make its views."""
    times: list[float] = []
    draw = loop.draw

    def noted(*arguments: Any, **which: Any) -> Any:
        times.append(time.perf_counter())
        return draw(*arguments, **which)

    loop.draw = noted
    try:
        yield times
    finally:
        loop.draw = draw


@contextmanager
def waiting_at_each_part() -> Iterator[None]:
    """The monitor's clock waits for the GPU, so that the parts do not overlap."""
    lap = Monitor.lap

    def waited(monitor: Monitor, part: str) -> None:
        torch.cuda.synchronize()
        lap(monitor, part)

    Monitor.lap = waited
    try:
        yield
    finally:
        Monitor.lap = lap


def trained(images: Corpus, recipe: Recipe, spd: SPDOptions, steps: int) -> dict[str, float]:
    """The summary's `timing`."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe.model_copy(update={"steps": steps})
        settings = Settings(architecture="resnet50", recipe=recipe, spd=spd, seed=0)
        outputs = Outputs.in_folder(Path(folder))
        return loop.pretrain(images, settings, outputs, device="cuda", threads=4, progress=False)["timing"]


def row(images: Corpus, options, method: str, spd: SPDOptions, batch: int, **changes: Any) -> tuple[str, ...]:
    changes = {"batch": batch, "warmup_epochs": 0, "held_out": 0.0, "log_interval": 4, **changes}
    recipe = load(CONFIG, {"preset": "paper"}).recipes[method].model_copy(update=changes)
    with step_times() as times:
        timing = trained(images, recipe, spd, options.steps)
    seconds = [after - before for before, after in itertools.pairwise(times)][options.warm :]
    rate = batch / statistics.median(seconds)
    with waiting_at_each_part():
        parts = [trained(images, recipe, spd, n) for n in (options.warm, options.steps)]
    spent = [parts[1][f"{part}_seconds"] - parts[0][f"{part}_seconds"] for part in PARTS]
    memory, flops = (
        timing["peak_gpu_memory_mib"],
        training_flops("resnet50", recipe, spd if spd.eta else None),
    )
    return (
        method + " + SPD" * bool(spd.eta) + ", compiled" * recipe.compile,
        *(batch, f"{rate:.0f}", f"{rate * flops / 1e12:.0f}"),
        *(f"{memory / 1024:.1f}", f"{memory / batch:.0f}"),
        *(f"{value / sum(spent):.0%}" for value in spent),
    )


def trainings(options):
    terms = SPDOptions(eta=0.0), load(CONFIG, {"preset": "paper"}).spd["spd"]
    with tempfile.TemporaryDirectory() as folder:
        images = corpus(Path(folder), 4 * options.batch)
        for method, spd in itertools.product(METHODS, terms):
            yield row(images, options, method, spd, options.batch)
        for spd in terms:
            yield row(images, options, "simsiam", spd, options.batch // 4)
            yield row(images, options, "simsiam", spd, options.batch, compile=True)


def neighbours(options):
    """Ours against the whole matrix of distances on the same GPU."""
    rng = np.random.default_rng(0)
    for count, width in ((7000, 1536), (70_000, 1024)):
        bank = rng.standard_normal((count, width)).astype(np.float32)
        queries = rng.standard_normal((3136, width)).astype(np.float32)
        resident = torch.from_numpy(bank).cuda()

        def whole(resident: torch.Tensor = resident, queries: np.ndarray = queries) -> None:
            nearest = torch.cdist(torch.from_numpy(queries).cuda(), resident).topk(1, largest=False)
            for values in nearest:
                values.cpu()

        for filter in ("float32", "bfloat16"):
            search = Neighbours(bank, "torch", filter, "cuda")
            # Both end with a copy to the CPU, which waits for the GPU; two threads: wall time.
            runs = {"ours": lambda s=search, q=queries: s(q, 1), "whole": whole}
            seconds = take_turns(runs, threads=2, repeats=options.repeats)
            times = ratio(seconds["whole"], seconds["ours"], 2)
            milliseconds = f"{1000 * statistics.median(seconds['ours']):.1f}"
            yield f"{count:,} x {width}", 3136, filter, times, milliseconds


def measure(options) -> str:
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU")
    columns = "GPU memory, GiB | MiB an image | data | views | forward | backward and step"
    return f"""{torch.cuda.get_device_name()}. Preset paper's networks (ResNet-50, 224 px), views and
losses, bfloat16; median of {options.steps - options.warm - 1} steps. An image counts once, however many
views it has. Shares: of a second run, which waits for the GPU after each part.

{table(f"training | batch | images/s | TFLOP/s kept up | {columns}", trainings(options))}

Nearest neighbours, k = 1, the copy of the queries to the GPU and float64 distances of ours included; the
whole matrix is `torch.cdist` and `topk` in float32:

{table("bank x channels | queries | filter | whole matrix / ours, time | ours, ms", neighbours(options))}"""


if __name__ == "__main__":
    sizes = {"batch": (128, 8), "warm": (4, 1), "steps": (12, 3), "repeats": (5, 1)}
    benchmark(measure, "gpu", "## On a GPU", sizes, threads=4)
