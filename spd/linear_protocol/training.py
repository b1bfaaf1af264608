"""A linear classifier on frozen features: trained on random crops and flips, judged on central crops.

The backbone is in eval mode and nothing of it moves: BatchNorm's statistics that drift would make it
another backbone (facebookresearch/moco, main_lincls.py). Order and crops are functions of (seed, epoch), so a
run that goes on from its checkpoint ends in the same bits on a CPU.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from spd import distributed
from spd.backbones import architectures, files
from spd.data import corpus
from spd.data.corpus import Corpus
from spd.files import file_sha256
from spd.float32 import full_float32
from spd.linear_protocol.options import LinearOptions
from spd.methods.options import digest
from spd.seeds import seed_of
from spd.training import checkpoint, schedules
from spd.training.optimisers import LARS
from spd.views.views import apply, centre_crop, draw, normalise

T = TypeVar("T")

CHUNK = 256
"""Images judged at once."""


@full_float32()
def top1(
    backbone_path: str | os.PathLike[str],
    images: Corpus,
    kept: np.ndarray,
    judged: np.ndarray,
    options: LinearOptions,
    *,
    seed: int,
    checkpoint_path: str | os.PathLike[str],
    device: str = "auto",
    threads: int = 1,
    progress: bool = True,
) -> float:
    """Accuracy in per cent, on the images at `judged`, of a classifier trained on those at `kept`.

    seed: of the classifier's weights, of order and crops. checkpoint_path: saved after each epoch and
    continued from where it exists; the caller removes it. device: `auto`, `cpu` or `cuda`.

    Raises ValueError where there is nothing to judge by, for a checkpoint of another run and for a backbone
    without pooled features, RuntimeError where the loss is not finite or the backbone has moved.
    """
    if not len(judged):
        raise ValueError(
            "there are no images to judge by: give the corpus a folder val/ beside train/ (ImageNet's), or "
            "hold some out (recipes.<recipe>.held_out, linear_protocol.<method>.held_out)"
        )
    torch.set_num_threads(threads)
    place = distributed.join(device)
    backbone, about = files.load(backbone_path)
    memory_format = architectures.memory_format(backbone)
    backbone = backbone.to(place, memory_format=memory_format).requires_grad_(False)
    frozen = {name: value.clone() for name, value in backbone.state_dict().items()}
    views = options.views(about.mean, about.std)
    half = torch.autocast(place.type, torch.bfloat16) if options.precision == "bfloat16" else nullcontext()

    @torch.no_grad()
    def features(x: torch.Tensor) -> torch.Tensor:  # (B, 3, S, S), normalised -> float32 (B, C)
        with half:
            found = backbone(x.contiguous(memory_format=memory_format))
        if found.ndim != 2:
            raise ValueError(f"{backbone_path}: {about.architecture} gives no pooled feature to classify")
        return found.float()

    width = features(torch.zeros(1, 3, options.size, options.size, device=place)).shape[1]
    classifier = nn.Linear(width, len(images.classes))
    generator = torch.Generator().manual_seed(seed_of(seed, "linear", "weights"))
    nn.init.normal_(classifier.weight, 0.0, 0.01, generator=generator)  # main_lincls.py of MoCo and SimSiam
    nn.init.zeros_(classifier.bias)
    classifier.to(place)
    optimiser = _optimiser(classifier, options)

    run_identity = {
        "backbone": file_sha256(backbone_path),
        "options": digest(options),
        "seed": seed,
        "data": images.digest,
        "images": len(kept),
    }
    saved = checkpoint.load(checkpoint_path, identity=run_identity)
    first = 0
    if saved is not None:
        classifier.load_state_dict(saved["classifier"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["step"]

    starts = range(0, len(kept), options.batch)
    steps = options.epochs * len(starts)
    base = schedules.base_rate(options.lr, options.lr_scaling, options.batch)

    def read(part: np.ndarray) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
        return images.batch(part), images.sizes[part], torch.from_numpy(images.labels[part])

    for epoch in range(first, options.epochs):
        visited = kept[corpus.order(len(kept), seed, epoch)]
        batches = _ahead(read, [visited[start : start + options.batch] for start in starts])
        bar = tqdm(
            batches, f"epoch {epoch + 1}/{options.epochs}", len(starts), disable=not progress, mininterval=1
        )
        total = 0.0
        for step, (batch, sizes, labels) in enumerate(bar, epoch * len(starts)):
            draws = draw(views, seed=seed_of(seed, "linear"), step=step, batch=len(batch), names=("x",))
            x = apply(batch.to(place, non_blocking=True), sizes, draws, views)["x"]
            rate = schedules.rate(
                step,
                base=base,
                steps=steps,
                schedule=options.schedule,
                every=len(starts) if options.schedule_by == "epoch" else 1,
                milestones=options.milestones,
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = cross_entropy(classifier(features(x)), labels.to(place, non_blocking=True))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(batch)
        if not bool(torch.isfinite(total)):
            raise RuntimeError(f"epoch {epoch + 1}: the loss is not finite; try a smaller linear_protocol lr")
        checkpoint.save(
            checkpoint_path,
            identity=run_identity,
            step=epoch + 1,
            classifier=classifier.state_dict(),
            optimiser=optimiser.state_dict(),
        )

    right = 0
    parts = [judged[start : start + CHUNK] for start in range(0, len(judged), CHUNK)]
    for batch, sizes, labels in _ahead(read, parts):
        x = normalise(centre_crop(batch.to(place), sizes, options.size), views)
        with torch.no_grad():
            right += int((classifier(features(x)).argmax(1) == labels.to(place)).sum())
    moved = [name for name, value in backbone.state_dict().items() if not torch.equal(value, frozen[name])]
    if moved:
        raise RuntimeError(f"the frozen backbone has moved ({', '.join(moved[:5])}): no linear protocol")
    return 100 * right / len(judged)


def _optimiser(classifier: nn.Linear, options: LinearOptions) -> torch.optim.Optimizer:
    common = {"lr": options.lr, "momentum": options.momentum, "weight_decay": options.weight_decay}
    if options.optimiser == "lars":
        return LARS(classifier.parameters(), **common, trust_coefficient=options.trust_coefficient)
    return torch.optim.SGD(classifier.parameters(), **common, nesterov=options.nesterov)


def _ahead(read: Callable[[np.ndarray], T], parts: Sequence[np.ndarray]) -> Iterator[T]:
    """`read` of each part, the next one in a thread of its own while this one is worked on."""
    with ThreadPoolExecutor(1) as loader:
        pending = loader.submit(read, parts[0])
        for following in [*parts[1:], None]:
            ready = pending.result()
            if following is not None:
                pending = loader.submit(read, following)
            yield ready
