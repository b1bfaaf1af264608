"""What a pre-training costs: GPU-hours from counted FLOPs and published throughputs.

    python -m workflow_scripts.planning.cost [config.yaml] [--preset paper]

A published training, counted by the same counter as ours, says how many FLOP/s a GPU keeps up in this kind of
network: far fewer than its data sheet has, since BatchNorm and ReLU wait for memory. Ours then takes its own
FLOPs at that rate, and the views, which are made on the same GPU, their memory traffic at a share of the
bandwidth.
"""

import argparse
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from spd.backbones.architectures import build as build_network
from spd.methods.build import build
from spd.methods.options import (
    MoCoRecipe,
    Recipe,
    SimCLRRecipe,
    SPDOptions,
    SupervisedRecipe,
    seen_views,
)
from spd.views.options import ViewsOptions
from spd.views.views import apply, draw
from workflow_scripts.planning.disk import IMAGENET

CLASSES = 1000
HOPED, REACHED = 0.6, 0.15
"""Shares of a GPU's memory bandwidth that the batched operations of the views reach: an assumption of ours,
which the least hours go by, and the lowest of an H200's in docs/performance.md, which the most go by."""
COUNTED = 32
"""Images of the step that is counted. A loss over the whole batch takes more of them (SimCLR's 4096: 0.01 %
of the network)."""
CANVAS = 256
"""Side of the images that views are made from."""


@dataclass(frozen=True)
class Published:
    """A training somebody ran: `images_per_second` of one of its GPUs, at 224 px on ResNet-50."""

    gpu: str
    recipe: Recipe
    images_per_second: float
    bandwidth: float
    """Of the GPU's memory, bytes/s (data sheet)."""
    share: float
    """What part of the bandwidth the views of a training at this rate are taken to reach."""
    source: str

    @property
    def view_bandwidth(self) -> float:
        """Bytes/s at which views are made."""
        return self.share * self.bandwidth


PUBLISHED = (
    Published(
        "A100",
        SupervisedRecipe(),
        16_621 / 8,
        2039e9,
        HOPED,
        "NVIDIA DeepLearningExamples 291f0d0, ResNet50 v1.5, 8 A100 80 GB, mixed precision: 16,621 images/s",
    ),
    Published(
        "A100",
        SimCLRRecipe(),
        IMAGENET * 100 / (11.9 * 3600) / 8,
        2039e9,
        REACHED,
        "FFCV-SSL, SimCLR, 100 epochs on 8 x A100, 224 px: 11.9 h",
    ),
    Published(
        "V100",
        SupervisedRecipe(),
        8_322 / 8,
        900e9,
        HOPED,
        "NVIDIA DeepLearningExamples 291f0d0, ResNet50 v1.5, 8 V100 16 GB, mixed precision: 8,322 images/s",
    ),
    Published(
        "V100",
        MoCoRecipe(),
        IMAGENET * 200 / (53 * 3600) / 8,
        900e9,
        REACHED,
        "MoCo, README: 200 epochs on 8 x V100 in 53 h (float32)",
    ),
)
"""The fastest and the slowest of what was found for a GPU; the truth should lie between them."""


@dataclass(frozen=True)
class Cost:
    """What one pre-training needs, before it is divided among GPUs."""

    images: int
    """Images seen in all: epochs x images an epoch."""
    flops: float
    """Floating-point operations an image, forward and backward, all views (2 a multiply-add)."""
    view_bytes: float
    """Bytes an image that making the views reads and writes."""

    def hours(self, published: Published) -> float:
        """GPU-hours at the rate of a published training."""
        network = self.flops / (published.images_per_second * flops_of("resnet50", published.recipe))
        views = self.view_bytes / published.view_bandwidth
        return self.images * (network + views) / 3600


def cost(architecture: str, recipe: Recipe, spd: SPDOptions | None = None, *, images: int = IMAGENET) -> Cost:
    """Counts one pre-training; nothing is computed and no memory taken (torch's meta device). `images`:
    training images of the corpus."""
    spd = spd if spd is not None and spd.eta > 0 else None
    kept = images - round(images * recipe.held_out if recipe.held_out < 1 else recipe.held_out)
    steps = recipe.steps or recipe.epochs * (kept // recipe.batch)
    return Cost(
        images=steps * recipe.batch,
        flops=flops_of(architecture, recipe, spd),
        view_bytes=view_traffic(*seen_views(recipe, spd)),
    )


def gpu_hours(
    architecture: str,
    recipe: Recipe,
    spd: SPDOptions | None = None,
    *,
    images: int = IMAGENET,
    gpu: str = "A100",
) -> tuple[float, float]:
    """(least, most) GPU-hours of a pre-training at the published rates of `gpu` (A100 or V100); see
    `PUBLISHED`. Raises ValueError for another GPU."""
    known = sorted({published.gpu for published in PUBLISHED})
    if gpu not in known:
        raise ValueError(f"gpu: no published rate for {gpu!r}; there are {', '.join(known)}")
    counted = cost(architecture, recipe, spd, images=images)
    hours = [counted.hours(published) for published in PUBLISHED if published.gpu == gpu]
    return min(hours), max(hours)


@functools.cache
def flops_of(architecture: str, recipe: Recipe, spd: SPDOptions | None = None) -> float:
    """Floating-point operations an image of one step: every view forward and backward, heads and losses
    included (convolutions and matrix products; 2 a multiply-add)."""
    with torch.device("meta"):
        model = build(architecture, recipe, spd, classes=CLASSES).train()
    seen = {
        name: torch.empty(COUNTED, 3, size, size, device="meta") for name, size in _sizes(recipe, spd).items()
    }
    labels = torch.zeros(COUNTED, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(seen, labels, 0)["loss"].backward()
    return counter.get_total_flops() / COUNTED


@functools.cache
def forward_flops(architecture: str, size: int) -> float:
    """Floating-point operations of one image of `size` pixels a side, forward alone, to the pooled feature (2
    a multiply-add)."""
    with torch.device("meta"), torch.inference_mode():
        network = build_network(architecture).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, size, size))
    return counter.get_total_flops()


@functools.cache
def view_traffic(views: ViewsOptions, names: tuple[str, ...]) -> float:
    """Bytes an image that the batched operations of the views read and write (the path of a GPU)."""
    images = torch.zeros(COUNTED, 3, CANVAS, CANVAS, dtype=torch.uint8, device="meta")
    draws = draw(views, seed=0, step=0, batch=COUNTED, names=names)
    with Traffic() as traffic:
        apply(images, np.tile([CANVAS, CANVAS], (COUNTED, 1)), draws, views)
    return traffic.bytes / COUNTED


class Traffic(TorchDispatchMode):
    """Counts the bytes that every operation reads and writes, and the operations."""

    FREE = frozenset(
        {"aten::view", "aten::expand", "aten::slice", "aten::unsqueeze", "aten::permute"}
        | {"aten::transpose", "aten::unbind", "aten::_unsafe_view", "aten::detach"}
    )
    """Operations that only describe memory anew."""

    def __init__(self):
        super().__init__()
        self.bytes, self.operations = 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if function._schema.name not in self.FREE:
            leaves = tree_leaves((arguments, keywords, result))
            self.bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, torch.Tensor))
            self.operations += 1
        return result


def _sizes(recipe: Recipe, spd: SPDOptions | None) -> dict[str, int]:
    return {name: recipe.views.augmentation(name).size for name in seen_views(recipe, spd)[1]}


def table(config_path: Path, preset: str) -> str:
    """Markdown: each pre-training that a table reads, or that one of these starts from, its cost, and the
    assumptions."""
    from spd.config.model import load

    experiment = load(config_path, {"preset": preset})
    gpus = list(dict.fromkeys(published.gpu for published in PUBLISHED))
    lines = [
        "| pre-training | architecture | views | GFLOP an image | MB an image for the views | 10^6 images | "
        + " | ".join(f"{gpu}-hours" for gpu in gpus)
        + " |",
        "|---|---|---|---|---|---|" + "---|" * len(gpus),
    ]
    totals = {gpu: np.zeros(2) for gpu in gpus}
    read = [row for asked in experiment.tables.values() for row in asked.rows]
    for name in read:  # grows as it goes
        start = experiment.pretrainings[name].init
        read += [start] if start and start not in read else []
    for name, row in experiment.pretrainings.items():
        if row.source is not None or name not in read:
            continue
        recipe, spd = experiment.recipes[row.recipe], experiment.spd[row.spd]
        spd = spd if spd.eta > 0 else None
        architecture = experiment.backbones[row.backbone].architecture
        counted, cells = cost(architecture, recipe, spd), []
        for gpu in gpus:
            hours = np.array(gpu_hours(architecture, recipe, spd, gpu=gpu))
            totals[gpu] += hours
            cells.append(f"{hours[0]:,.0f} - {hours[1]:,.0f}")
        lines.append(
            f"| {name} | {architecture} | {len(seen_views(recipe, spd)[1])} | {counted.flops / 1e9:.1f} "
            f"| {counted.view_bytes / 1e6:.0f} | {counted.images / 1e6:.0f} | " + " | ".join(cells) + " |"
        )
    sums = " | ".join(f"{low:,.0f} - {high:,.0f}" for low, high in totals.values())
    lines.append(f"| all | | | | | | {sums} |")
    return "\n".join([*lines, "", *assumptions()])


def assumptions() -> list[str]:
    """What the hours rest on, as Markdown list items."""
    rates = []
    for p in PUBLISHED:
        flops = flops_of("resnet50", p.recipe)
        rates.append(
            f"* {p.gpu}: {p.images_per_second:,.0f} images/s a GPU x {flops / 1e9:.1f} GFLOP = "
            f"{p.images_per_second * flops / 1e12:.1f} TFLOP/s kept up. {p.source}."
        )
    return [
        *rates,
        f"* ImageNet-1k's {IMAGENET:,} images; epochs, batch and views of the recipes; FLOPs counted by "
        "torch's FlopCounterMode over one step on the meta device, backward pass included.",
        f"* Views are made on the GPU: bytes counted operation by operation on {CANVAS} px images, at "
        f"{HOPED:.0%} of the memory bandwidth for the least (an assumption of ours) and {REACHED:.0%} for "
        "the most (the lowest that an H200 reached, in batches of 128 and not undisturbed: "
        "docs/performance.md); their arithmetic is about 1 % of the network's.",
        "* Reading the packed corpus is hidden behind the step. What several GPUs lose is what they lost in "
        "the published runs (8 GPUs in one machine). Probes, and jobs run again, come on top.",
        "* Wide ResNet-50 is taken to run at ResNet-50's rate; its convolutions are larger, so that is "
        "careful.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="GPU-hours of every pre-training of a config")
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"))
    parser.add_argument("--preset", default="paper")
    arguments = parser.parse_args()
    print(table(arguments.config, arguments.preset))


if __name__ == "__main__":
    main()
