"""Pre-training: one loop for a CPU, a GPU and torchrun, the same maths on each.

Nothing random is saved: order, views and MoCo's shuffle are functions of (seed, step), drawn for the whole
batch, of which each rank takes its share. So a resumed run continues bitwise on a CPU, and 1 or N ranks see
the same views.

Gradient accumulation is refused (`recipe.accumulate`): BatchNorm's statistics, the negatives of SimCLR and
the key order of MoCo are defined by the whole batch, so accumulating over small ones would be another method.
Several ranks share one batch instead.
"""

import logging
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm
from tqdm import tqdm

from spd import distributed
from spd.backbones import architectures, batchnorm, files
from spd.data import corpus
from spd.data.corpus import Corpus
from spd.files import file_sha256
from spd.float32 import full_float32
from spd.methods.build import base, build
from spd.methods.options import Recipe, SPDOptions, digest
from spd.seeds import seed_of
from spd.training import batches, checkpoint, optimisers, probe, schedules
from spd.training import memory as gpu_memory
from spd.training.history import History
from spd.views.views import apply, draw, slice_draws

PREEMPTED = 75
"""Exit status after SIGTERM or SIGUSR1 with a checkpoint saved: EX_TEMPFAIL, run the same command again to
continue."""

log = logging.getLogger(__name__)


class Preempted(SystemExit):
    """Asked to stop by a signal; the checkpoint is saved. Left alone, the process exits with status
    PREEMPTED."""


class TrainingError(RuntimeError):
    """The loss is not finite or the embeddings have collapsed; the message names step, images and last good
    checkpoint."""


@full_float32()
def pretrain(
    images: Corpus,
    *,
    architecture: str,
    recipe: Recipe,
    spd: SPDOptions | None = None,
    seed: int,
    backbone_path: str | os.PathLike[str],
    history_path: str | os.PathLike[str],
    checkpoint_path: str | os.PathLike[str],
    init: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int = 1,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains a backbone, writes it (safetensors) and the history (JSON lines); returns a summary.

    spd None or eta 0: the base method. seed: of weights, order and views, 0 or more. checkpoint_path:
    continued from where it exists, removed on success; the history in the making lies beside it. init: a
    backbone file to start from (continued pre-training). device: `auto`, `cpu`, `cuda`; under torchrun every
    rank calls this with the same arguments. provenance: JSON values for the backbone's metadata.

    Each line of the history is a step: `loss` and its parts, `lr`, `embedding_std` (std * sqrt(d) of unit z:
    1 spread, 0 collapsed), the norms of gradients and parameters, with SPD `cos_plus` and `cos_minus`; all
    over the whole batch. No clock time, so that equal runs write equal bytes: images/s are in the history
    in the making, on the bar of progress, in the line that ends it and in the summary, under `timing`.

    Raises ValueError for a batch that does not fit the images, the ranks or the BatchNorm groups, and for a
    checkpoint of another run; TrainingError as the recipe's `non_finite` and `collapse` say; Preempted (exit
    status 75) after SIGTERM or SIGUSR1, KeyboardInterrupt after SIGINT, with a checkpoint saved;
    torch.OutOfMemoryError with the number of GPUs that would do.
    """
    place = distributed.join(device)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    torch.set_num_threads(threads)
    spd = spd if spd is not None and spd.eta > 0 else None
    views = spd.views(recipe.views) if spd else recipe.views
    kept, held_out = images.split(recipe.held_out, seed)
    steps_per_epoch, steps, share = _shape(recipe, len(kept))
    who = identity(images, architecture=architecture, recipe=recipe, spd=spd, seed=seed, init=init)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        model = build(architecture, recipe, spd, classes=len(images.classes))
    method = base(model)
    if init is not None:
        for backbone in method.backbones:
            files.load_into(backbone, init, architecture=architecture)
    dtype = torch.float64 if recipe.precision == "float64" else torch.float32
    memory_format = architectures.memory_format(model)
    model.to(place, dtype, memory_format=memory_format).train()
    if recipe.frozen_norm:
        if init is None:
            raise ValueError(
                "frozen_norm: random weights have no statistics to keep; give init, or leave it out"
            )
        for backbone in method.backbones:
            batchnorm.freeze(backbone)
    optimiser = optimisers.build(model, recipe, fixed=method.fixed_lr)
    trained = [p for p in model.parameters() if p.requires_grad]
    # A forward pass moves these; a step that is left out must not.
    moved = [*model.buffers(), *(p for p in model.parameters() if not p.requires_grad)]
    moved = moved if recipe.non_finite == "warn" else []
    names = views.names(method.views, spd=spd is not None)

    history = History(Path(f"{checkpoint_path}.history.jsonl"), distributed.rank() == 0)
    saved = checkpoint.load(checkpoint_path, identity=who)
    first, last_good = 0, "none yet"
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        first, last_good = saved["step"], f"{checkpoint_path} (step {saved['step']})"
    history.start(first)

    def save(done: int) -> str:
        if distributed.rank() == 0:
            checkpoint.save(
                checkpoint_path,
                identity=who,
                step=done,
                model=model.state_dict(),
                optimiser=optimiser.state_dict(),
            )
        return f"{checkpoint_path} (step {done})"

    def indices(step: int) -> np.ndarray:  # (batch,), of the whole batch
        epoch, place_in_epoch = divmod(step, steps_per_epoch)
        start = place_in_epoch * recipe.batch
        return kept[corpus.order(len(kept), seed, epoch)[start : start + recipe.batch]]

    def fetch(step: int) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
        own = indices(step)[share]
        return images.batch(own), images.sizes[own], torch.from_numpy(images.labels[own])

    def trouble(what: str, step: int) -> str:
        files_ = [images.names[i] for i in indices(step)]
        shown = ", ".join(files_[:8])
        if len(files_) > 8:
            listed = Path(f"{checkpoint_path}.batch.txt")
            if distributed.rank() == 0:
                listed.write_text("".join(f"{name}\n" for name in files_))
            shown += f" and {len(files_) - 8} more, all in {listed}"
        return f"step {step + 1}: {what}; images of the batch: {shown}; last good checkpoint: {last_good}"

    expected = method.expected_loss
    if progress and distributed.rank() == 0:
        start = f"continues at step {first}" if first else "starts"
        hint = f"; expected initial loss {expected:.3f}" if expected is not None else ""
        with_spd = f" + SPD (eta {spd.eta:g})" if spd else ""
        print(
            f"{recipe.method}{with_spd} on {architecture} {start}: "
            f"{steps} steps of {recipe.batch}, {len(kept)} images, "
            f"{distributed.world_size()} x {place.type}{hint}",
            file=sys.stderr,
        )

    if recipe.compile:
        method.backbone.compile()  # in place: the keys of the state dict stay
    step_model = model
    if distributed.world_size() > 1:
        # Buffers are ours to keep equal: broadcasting them at each forward would send MoCo's queue each time.
        step_model = DistributedDataParallel(
            model, device_ids=[place.index] if place.type == "cuda" else None, broadcast_buffers=False
        )
    half = torch.autocast(place.type, torch.bfloat16) if recipe.precision == "bfloat16" else nullcontext()
    base_rate = schedules.base_rate(recipe.lr, recipe.lr_scaling, recipe.batch)
    seconds = dict.fromkeys(("data", "views", "forward", "backward"), 0.0)
    began = time.monotonic()
    saved_at = began
    bar = tqdm(
        total=steps,
        initial=first,
        disable=not progress or distributed.rank() != 0,
        mininterval=1,
        unit="step",
    )
    memory = gpu_memory.explained(architecture, recipe, spd, distributed.world_size(), place)
    with memory, _stop_requests() as stop, ThreadPoolExecutor(1) as loader, bar:
        pending = loader.submit(fetch, first) if first < steps else None
        for step in range(first, steps):
            clock = _Clock(seconds)
            batch, sizes, labels = pending.result()
            if step + 1 < steps:
                pending = loader.submit(fetch, step + 1)
            batch, labels = batch.to(place, non_blocking=True), labels.to(place, non_blocking=True)
            clock.lap("data")

            draws = draw(views, seed=seed, step=step, batch=recipe.batch, names=names)
            seen = apply(batch, sizes, slice_draws(draws, share.start, share.stop), views)
            seen = {name: x.to(dtype).contiguous(memory_format=memory_format) for name, x in seen.items()}
            clock.lap("views")

            rate = schedules.rate(
                step,
                base=base_rate,
                steps=steps,
                warmup=round(recipe.warmup_epochs * steps_per_epoch),
                schedule=recipe.schedule,
                every=steps_per_epoch if recipe.schedule_by == "epoch" else 1,
                milestones=recipe.milestones,
            )
            optimisers.set_rate(optimiser, rate, base_rate)
            optimiser.zero_grad(set_to_none=True)
            before = [value.clone() for value in moved]
            with half:
                out = step_model(seen, labels, seed_of(seed, "step", step))
            clock.lap("forward")
            out["loss"].backward()
            gradient_norm = get_total_norm([p.grad for p in trained if p.grad is not None])
            # a finite loss can have a gradient that is not, and that would end in the weights
            finite, stopped = _agree(bool(torch.isfinite(out["loss"] + gradient_norm)), stop.is_set())
            if finite:
                optimiser.step()
            elif recipe.non_finite == "stop":
                raise TrainingError(trouble("loss or gradient is not finite", step))
            else:
                log.warning("%s; the step is left out", trouble("loss or gradient is not finite", step))
                with torch.no_grad():
                    torch._foreach_copy_(moved, before)
            if finite:
                method.after_step((step + 1) / steps)
            batchnorm.average_running_statistics(model)
            clock.lap("backward")

            done = step + 1
            if finite and (done % recipe.log_interval == 0 or done in (1, steps)):
                norms = {
                    "gradient_norm": float(gradient_norm),
                    "parameter_norm": float(get_total_norm(trained)),
                }
                line = {"step": done, "lr": rate, **_measured(out), **norms}
                speed = (done - first) * recipe.batch / max(time.monotonic() - began, 1e-9)
                history.add(**line, images_per_second=round(speed, 1))
                bar.set_postfix_str(
                    f"loss {line['loss']:.3f}, std {line['embedding_std']:.2f}, {speed:.0f} images/s",
                    refresh=False,
                )
                if done > recipe.collapse_after and line["embedding_std"] < recipe.collapse_below:
                    found = f"std * sqrt(d) = {line['embedding_std']:.2g} < {recipe.collapse_below:g}"
                    what = f"the embeddings have collapsed ({found})"
                    if recipe.collapse == "stop":
                        raise TrainingError(trouble(what, step))
                    log.warning(trouble(what, step))
            if recipe.probe_interval and done % recipe.probe_interval == 0 and done < steps and len(held_out):
                found = probe.in_training(model, images, kept, held_out, recipe, views, seed)
                history.add(step=done, **found)
            if stopped and done < steps:
                save(done)
                if distributed.world_size() > 1:
                    dist.barrier()  # a rank that leaves has torchrun end the others, who may still be saving
                if pending is not None:
                    pending.cancel()
                raise Preempted(PREEMPTED)
            # rank 0's clock decides, and only rank 0 writes
            if done < steps and time.monotonic() - saved_at >= 60 * recipe.checkpoint_minutes:
                last_good, saved_at = save(done), time.monotonic()
            bar.update()
    elapsed = time.monotonic() - began

    summary: dict[str, Any] = {
        "steps": steps,
        "images": len(kept),
        "held_out": len(held_out),
        "expected_loss": expected,
    }
    if distributed.rank() == 0:
        judged: dict[str, Any] = {}
        if len(held_out):
            save(steps)  # judging takes minutes of a large corpus, and may be killed
            judged = probe.evaluate(model, images, kept, held_out, recipe, views, seed)
            history.add(step=steps, **judged)
            judged["protocol"] = probe.PROTOCOL.format(
                neighbours=recipe.probe_neighbours,
                bank=min(len(kept), recipe.probe_bank),
                judged=len(held_out),
                views=min(len(held_out), probe.JUDGED),
                of="of the data set's own validation" if len(images.validation) else "held out of training",
            )
        files.export(
            method.backbone,
            backbone_path,
            architecture=architecture,
            metadata={
                "method": recipe.method,
                "eta": spd.eta if spd else 0.0,
                "spd": spd.model_dump(mode="json") if spd else None,
                "seed": seed,
                "steps": steps,
                "recipe": who["recipe"],
                "data": images.digest,
                "init": who["init"],
                "mean": list(recipe.views.mean),
                "std": list(recipe.views.std),
                "judged": judged,
                "notes": probe.notes(judged),
                **(provenance or {}),
            },
        )
        summary |= {"first_loss": history.first.get("loss"), "last": history.last}
        history.finish(Path(history_path))
        Path(checkpoint_path).unlink(missing_ok=True)
    if distributed.world_size() > 1:
        dist.barrier()
    summary["timing"] = timing = {
        "seconds": elapsed,
        "images_per_second": (steps - first) * recipe.batch / elapsed if elapsed else None,
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    peak = f"peak memory {timing['peak_memory_mib']:.0f} MiB"
    if place.type == "cuda":
        timing["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated(place) / 2**20
        peak += f", of the GPU {timing['peak_gpu_memory_mib']:.0f} MiB"
    if progress and distributed.rank() == 0 and first < steps:
        shares = ", ".join(f"{name} {value / sum(seconds.values()):.0%}" for name, value in seconds.items())
        print(
            f"{timing['images_per_second']:.0f} images/s; time in {shares} and step; {peak}",
            file=sys.stderr,
        )
    return summary


def identity(
    images: Corpus,
    *,
    architecture: str,
    recipe: Recipe,
    spd: SPDOptions | None,
    seed: int,
    init: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """What makes a run this run: a checkpoint continues it only if all of this is equal. How often it saves
    does not count."""
    neutral = recipe.model_copy(update={"checkpoint_minutes": 0.0})
    return {
        "architecture": architecture,
        "recipe": digest(neutral),
        "spd": digest(spd) if spd is not None and spd.eta > 0 else None,
        "seed": seed,
        "data": images.digest,
        "init": file_sha256(init) if init is not None else None,
    }


def _shape(recipe: Recipe, count: int) -> tuple[int, int, slice]:
    """(steps an epoch, steps in all, this rank's share of a batch)."""
    ranks = distributed.world_size()
    group = recipe.batch_norm_group if recipe.batch_norm == "ghost" else None
    if found := list(batches.misfits(recipe.batch, ranks=ranks, group=group, images=count)):
        raise ValueError("\n".join(found))
    per_rank = recipe.batch // ranks
    steps_per_epoch = count // recipe.batch
    start = distributed.rank() * per_rank
    return steps_per_epoch, recipe.steps or recipe.epochs * steps_per_epoch, slice(start, start + per_rank)


def _agree(finite: bool, stop: bool) -> tuple[bool, bool]:
    """(finite on every rank, a stop asked of any)."""
    if distributed.world_size() == 1:
        return finite, stop
    flags = torch.tensor([not finite, stop], dtype=torch.float32)
    flags = flags.cuda() if dist.get_backend() == "nccl" else flags
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return not flags[0].item(), bool(flags[1].item())


@torch.no_grad()
def _measured(out: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Loss, its parts and the embeddings' spread, over the whole batch of all ranks."""
    z = normalize(out["z"].detach().double(), dim=1)  # (B, D)
    moments = distributed.mean(torch.stack([z.mean(0), (z * z).mean(0)]))
    std = (moments[1] - moments[0] ** 2).clamp_min(0).sqrt().mean() * math.sqrt(z.shape[1])
    parts = {name: float(distributed.mean(value)) for name, value in out.items() if value.dim() == 0}
    return {**parts, "embedding_std": float(std)}


class _Clock:
    """Adds the time since the last lap to a part's total. On a GPU the parts overlap: there it is where the
    CPU waited."""

    def __init__(self, seconds: dict[str, float]):
        self.seconds, self.at = seconds, time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] += now - self.at
        self.at = now


class _Flag:
    """A signal's request, to be looked at between steps."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def is_set(self) -> bool:
        return self.signal is not None


@contextmanager
def _stop_requests() -> Iterator[_Flag]:
    """A flag that SIGTERM, SIGUSR1 or SIGINT raises; the former handlers come back afterwards. Outside the
    main thread it never rises.

    After SIGINT a training that has saved ends as any interrupted program does, with KeyboardInterrupt:
    status 75 would put a job of Slurm's back into the queue, and it was a person who stopped it.
    """
    flag = _Flag()

    def request(number: int, _: object) -> None:
        # The first one counts: a terminal's Ctrl-C reaches a rank twice, once through torchrun, as SIGTERM.
        flag.signal = flag.signal or number

    former = {}
    try:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            former[number] = signal.signal(number, request)
    except ValueError:  # signals belong to the main thread
        pass
    try:
        yield flag
    except Preempted:
        if flag.signal == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
