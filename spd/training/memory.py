"""What a training takes of each GPU's memory, counted before it runs.

Counted on torch's meta device: what the forward pass saves for the backward pass, and what stays for the
whole training. Not counted: CUDA itself, what NCCL and cuDNN work in, gradients on their way between ranks,
holes between blocks. `SHARE` leaves room for these.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from spd.methods.build import build
from spd.methods.options import Recipe, SPDOptions, active, seen_views
from spd.training.settings import Settings

CLASSES = 1000
COUNTED = 32
"""Images of the step that is counted. What grows with the square of the batch, SimCLR's similarities, is
less than 0.1 % of it."""
SHARE = 0.9
"""Of a GPU's memory that a training may be counted to take. (ours)"""


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
    spd = active(spd)
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
def explained(settings: Settings, ranks: int, place: torch.device) -> Iterator[None]:
    """Adds to CUDA's out-of-memory error how much was counted and how many GPUs would do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        gib = torch.cuda.get_device_properties(place).total_memory / 2**30
        raise torch.OutOfMemoryError(f"{shortage(settings, ranks, gib)}\n{error}") from None


def shortage(settings: Settings, ranks: int, gib: float) -> str:
    """What to say of a training on `ranks` GPUs of `gib` each that ran out of memory."""
    recipe = settings.recipe
    memory, images = memory_of(settings.architecture, recipe, settings.spd), recipe.batch // ranks
    found = f"out of GPU memory: {images} images a GPU take about {memory.gib(images):.0f} GiB of {gib:.0f}"
    least = least_ranks(memory, recipe, gib)
    if least is None:
        return f"{found}, and no number of GPUs that divides the batch of {recipe.batch} would do"
    if least <= ranks:
        return f"{found}, which should fit: does something else use this GPU?"
    key = f"compute: {{trainings: {{<this pre-training>: {{gpus: {least}}}}}}}"
    return f"{found}; {least} GPUs would do: set {key}, or fewer on each of several `nodes`"
