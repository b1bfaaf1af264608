"""The paper's pre-trainings on one GPU: images/s, memory, where the time goes; and nearest neighbours there.

    python benchmarks/gpu.py [--batch 128] [--write]

Networks, views, heads, precision (bfloat16) and losses of preset paper; noise of 256 px as images, from a
mapped file, as the packed corpus is. Batch and steps are other: one GPU holds no batch of 4096. A rate is
that of the steps after the first few, in each of which the loop waits for the GPU once, as it always does.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import machine, write_section

from spd.config.model import load
from spd.data.corpus import Corpus, from_arrays
from spd.detectors.neighbours import Neighbours
from spd.methods.options import Recipe, SPDOptions
from spd.training import loop
from spd.training.monitor import Monitor
from spd.training.settings import Outputs, Settings
from workflow_scripts.planning.counting import training_flops

CONFIG = Path(__file__).resolve().parent.parent / "config.yaml"
METHODS = ("supervised", "simsiam", "moco", "simclr")
WARM, STEPS = 4, 12
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


def row(images: Corpus, method: str, spd: SPDOptions, batch: int, **changes: Any) -> str:
    changes = {"batch": batch, "warmup_epochs": 0, "held_out": 0.0, "log_interval": 4, **changes}
    recipe = load(CONFIG, {"preset": "paper"}).recipes[method].model_copy(update=changes)
    with step_times() as times:
        timing = trained(images, recipe, spd, STEPS)
    seconds = [after - before for before, after in itertools.pairwise(times)][WARM:]
    rate = batch / statistics.median(seconds)
    with waiting_at_each_part():
        parts = [trained(images, recipe, spd, n) for n in (WARM, STEPS)]
    spent = [parts[1][f"{part}_seconds"] - parts[0][f"{part}_seconds"] for part in PARTS]
    shares = " | ".join(f"{value / sum(spent):.0%}" for value in spent)
    name = method + (" + SPD" if spd.eta else "") + (", compiled" if recipe.compile else "")
    memory = timing["peak_gpu_memory_mib"]
    flops = training_flops("resnet50", recipe, spd if spd.eta else None)
    found = (
        f"| {name} | {batch} | {rate:.0f} | {rate * flops / 1e12:.0f} | {memory / 1024:.1f} "
        f"| {memory / batch:.0f} | {shares} |"
    )
    print(found, file=sys.stderr, flush=True)
    return found


def neighbours() -> list[str]:
    """Ours against the whole matrix of distances on the same GPU."""
    rows = [
        "| bank x channels | queries | filter | whole matrix / ours, time | ours, ms |",
        "|---|---|---|---|---|",
    ]
    rng = np.random.default_rng(0)
    for count, width in ((7000, 1536), (70_000, 1024)):
        bank = rng.standard_normal((count, width)).astype(np.float32)
        queries = rng.standard_normal((3136, width)).astype(np.float32)

        resident = torch.from_numpy(bank).cuda()

        def whole(resident: torch.Tensor = resident, queries: np.ndarray = queries) -> None:
            found = torch.cdist(torch.from_numpy(queries).cuda(), resident).topk(1, largest=False)
            for values in found:
                values.cpu()

        for filter in ("float32", "bfloat16"):
            search = Neighbours(bank, "torch", filter, "cuda")
            ours, theirs = [], []
            for _ in range(6):
                for work, seconds in ((lambda s=search, q=queries: s(q, 1), ours), (whole, theirs)):
                    torch.cuda.synchronize()
                    began = time.perf_counter()
                    work()
                    seconds.append(time.perf_counter() - began)
            ratios = [b / a for a, b in zip(ours, theirs, strict=True)][1:]
            rows.append(
                f"| {count:,} x {width} | 3136 | {filter} | {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f}-{max(ratios):.2f}) | {1000 * statistics.median(ours[1:]):.1f} |"
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--output", type=Path, help="write the section's text here too")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU")
    spd = load(CONFIG, {"preset": "paper"}).spd["spd"]
    rows = [
        "| training | batch | images/s | TFLOP/s kept up | GPU memory, GiB | MiB an image | data | views "
        "| forward | backward and step |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        images = corpus(Path(folder), 4 * arguments.batch)
        for method in METHODS:
            for term in (SPDOptions(eta=0.0), spd):
                rows.append(row(images, method, term, arguments.batch))
        for term in (SPDOptions(eta=0.0), spd):
            rows.append(row(images, "simsiam", term, arguments.batch // 4))
            rows.append(row(images, "simsiam", term, arguments.batch, compile=True))
    markdown = "\n".join(
        [
            "## On a GPU",
            "",
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}; {machine()}. Preset paper's "
            f"networks (ResNet-50, 224 px), views and losses, bfloat16; median of {STEPS - WARM - 1} steps. "
            "An image counts once, however many views it has. Shares: of a second run, which waits for the "
            "GPU after each part.",
            "",
            *rows,
            "",
            "Nearest neighbours, k = 1, the copy of the queries to the GPU and float64 distances of ours "
            "included; the whole matrix is `torch.cdist` and `topk` in float32:",
            "",
            *neighbours(),
            "",
            "Command: `python benchmarks/gpu.py --write`",
        ]
    )
    print(f"<!-- begin gpu -->\n{markdown}\n<!-- end gpu -->")
    if arguments.output:
        arguments.output.write_text(markdown)
    if arguments.write:
        write_section("gpu", markdown)


if __name__ == "__main__":
    main()
