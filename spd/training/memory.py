"""What a training takes of each GPU's memory, counted before it runs.

    python -m spd.training.memory [config.yaml] [--preset paper] [--gib 79]

Counted on torch's meta device: what the forward pass saves for the backward pass, and what stays for the
whole training. Not counted: CUDA itself, what NCCL and cuDNN work in, gradients on their way between ranks,
holes between blocks. `SHARE` leaves room for these.
"""

import argparse
import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from spd.methods.build import build
from spd.methods.options import Recipe, SPDOptions, seen_views

CLASSES = 1000
COUNTED = 32
"""Images of the step that is counted. What grows with the square of the batch, SimCLR's similarities, is
less than 0.1 % of it."""
SHARE = 0.9
"""Of a GPU's memory that a training may be counted to take. (ours)"""
CARD = 79.0
"""GiB that a GPU of 80 GB offers."""


@dataclass(frozen=True)
class Memory:
    """What one rank takes of its GPU, in bytes."""

    image: float
    """Of each image on the rank: saved tensors and views."""
    fixed: float
    """Whatever the batch: weights, their 16-bit copies, gradients, momenta, buffers."""

    def gib(self, images: int) -> float:
        """GiB with `images` on the rank."""
        return (self.fixed + images * self.image) / 2**30


@functools.cache
def memory_of(architecture: str, recipe: Recipe, spd: SPDOptions | None = None) -> Memory:
    """Counts one pre-training; no memory is taken.

    `precision: bfloat16`: autocast is taken to save every float in 16 bits. Integers (positions of max
    pooling) count as they are, and so do the views, which stay in 32 bits beside what is saved of them. On
    several ranks each saves for its images what a single one does (spd.backbones.batchnorm). A key encoder's
    forward pass saves nothing and is left out.
    """
    spd = spd if spd is not None and spd.eta > 0 else None
    width = {"bfloat16": 2, "float32": 4, "float64": 8}[recipe.precision]
    wide = max(width, 4)
    with torch.device("meta"):
        model = build(architecture, recipe, spd, classes=CLASSES).train()
    views, names = seen_views(recipe, spd)
    sides = [views.augmentation(name).size for name in names]
    seen = {name: torch.empty(COUNTED, 3, n, n, device="meta") for name, n in zip(names, sides, strict=True)}
    labels = torch.zeros(COUNTED, dtype=torch.int64, device="meta")
    own = [*model.parameters(), *model.buffers()]
    with saved_tensors(leave_out=own) as saved:
        model(seen, labels, 0)
    floats = sum(_values(t) for t in saved if t.is_floating_point())
    others = sum(t.untyped_storage().nbytes() for t in saved if not t.is_floating_point())
    apart = 0 if width == wide else sum(x.numel() for x in seen.values())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = sum(p.numel() for p in model.parameters())
    return Memory(
        image=(floats * width + others + apart * wide) / COUNTED,
        fixed=(sum(t.numel() for t in own) + 2 * trained) * wide + (weights * width if width < wide else 0),
    )


@contextmanager
def saved_tensors(leave_out: Iterable[torch.Tensor] = ()) -> Iterator[list[torch.Tensor]]:
    """The tensors that operations inside save for their backward pass, each storage once."""
    found: list[torch.Tensor] = []
    known = {tensor.untyped_storage()._cdata for tensor in leave_out}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        at = tensor.untyped_storage()._cdata
        if at not in known:
            known.add(at)
            found.append(tensor)  # held: another storage cannot take its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


def _values(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def least_ranks(memory: Memory, recipe: Recipe, gib: float) -> int | None:
    """The fewest ranks that divide the batch, keep BatchNorm's groups whole and fit GPUs of `gib` each; None
    where there is no such number."""
    group = min(recipe.batch, recipe.batch_norm_group) if recipe.batch_norm == "ghost" else 1
    for ranks in range(1, recipe.batch + 1):
        images, rest = divmod(recipe.batch, ranks)
        if not rest and images % group == 0 and memory.gib(images) <= SHARE * gib:
            return ranks
    return None


@contextmanager
def explained(
    architecture: str, recipe: Recipe, spd: SPDOptions | None, ranks: int, place: torch.device
) -> Iterator[None]:
    """Adds to CUDA's out-of-memory error how much was counted and how many GPUs would do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        gib = torch.cuda.get_device_properties(place).total_memory / 2**30
        raise torch.OutOfMemoryError(f"{shortage(architecture, recipe, spd, ranks, gib)}\n{error}") from None


def shortage(architecture: str, recipe: Recipe, spd: SPDOptions | None, ranks: int, gib: float) -> str:
    """What to say of a training on `ranks` GPUs of `gib` each that ran out of memory."""
    memory, images = memory_of(architecture, recipe, spd), recipe.batch // ranks
    found = f"out of GPU memory: {images} images a GPU take about {memory.gib(images):.0f} GiB of {gib:.0f}"
    least = least_ranks(memory, recipe, gib)
    if least is None:
        return f"{found}, and no number of GPUs that divides the batch of {recipe.batch} would do"
    if least <= ranks:
        return f"{found}, which should fit: does something else use this GPU?"
    key = f"compute: {{trainings: {{<this pre-training>: {{gpus: {least}}}}}}}"
    return f"{found}; {least} GPUs would do: set {key}, or fewer on each of several `nodes`"


@dataclass(frozen=True)
class Training:
    """A pre-training of a config and what it takes of its GPUs."""

    name: str
    memory: Memory
    batch: int
    ranks: int
    """That `compute` gives it; 1 where it trains on a CPU."""
    least: int | None
    """See `least_ranks`."""

    @property
    def gib(self) -> float:
        """Of each of its GPUs."""
        return self.memory.gib(self.batch // self.ranks)


def trainings(experiment, names: Iterable[str], gib: float) -> list[Training]:
    """Counts pre-trainings of a `spd.config.model.Config` for GPUs of `gib` each."""
    found = []
    for name in names:
        row = experiment.pretrainings[name]
        recipe, spd = experiment.recipes[row.recipe], experiment.spd[row.spd]
        memory = memory_of(
            experiment.backbones[row.backbone].architecture, recipe, spd if spd.eta > 0 else None
        )
        gpus, nodes = experiment.compute.of(name)
        ranks = nodes * max(1, gpus)
        found.append(Training(name, memory, recipe.batch, ranks, least_ranks(memory, recipe, gib)))
    return found


def table(config_path: Path, preset: str, gib: float) -> str:
    """Markdown: each pre-training of the config."""
    from spd.config.model import load

    experiment = load(config_path, {"preset": preset})
    names = [name for name, row in experiment.pretrainings.items() if row.recipe is not None]
    lines = [
        "| pre-training | MiB an image | batch | GiB of a batch on one GPU "
        f"| GPUs of {gib:g} GiB that would do | GPUs that it takes | GiB of each |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in trainings(experiment, names, gib):
        lines.append(
            f"| {one.name} | {one.memory.image / 2**20:.0f} | {one.batch:,} "
            f"| {one.memory.gib(one.batch):.0f} | {one.least or 'none'} | {one.ranks} | {one.gib:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="GPU memory of every pre-training of a config")
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"))
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--gib", type=float, default=CARD, help="memory of one GPU")
    arguments = parser.parse_args()
    print(table(arguments.config, arguments.preset, arguments.gib))


if __name__ == "__main__":
    main()
