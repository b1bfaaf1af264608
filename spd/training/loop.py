"""Pre-training: one loop for a CPU, a GPU and torchrun, the same maths on each.

Nothing random is saved: order, views and MoCo's shuffle are functions of (seed, step), drawn for the whole
batch, of which each rank takes its share. So a resumed run continues bitwise on a CPU, and 1 or N ranks see
the same views.

Gradients of several small batches are never added up: BatchNorm's statistics, the negatives of SimCLR and
the key order of MoCo are defined by the whole batch, so accumulating over small ones would be another method.
Several ranks share one batch instead.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.utils import get_total_norm

from spd import distributed
from spd.backbones import batchnorm
from spd.data.corpus import Corpus
from spd.float32 import full_float32
from spd.seeds import seed_of
from spd.training.finish import finish
from spd.training.memory import explained
from spd.training.monitor import Monitor
from spd.training.prefetch import Batches
from spd.training.probe import Probe
from spd.training.settings import Outputs, Settings
from spd.training.signals import PREEMPTED, Preempted, stop_requests
from spd.training.state import State
from spd.views.views import apply, draw, slice_draws


@full_float32()
def pretrain(
    images: Corpus,
    settings: Settings,
    outputs: Outputs,
    *,
    device: str = "auto",
    threads: int = 1,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains a backbone, writes it (safetensors) and the history (JSON lines); returns a summary.

    device: `auto`, `cpu`, `cuda`; under torchrun every rank calls this with the same arguments. provenance:
    JSON values for the backbone's metadata.

    Each line of the history is a step: `loss` and its parts, `lr`, `embedding_std` (std * sqrt(d) of unit z:
    1 spread, 0 collapsed), the norms of gradients and parameters, with SPD `cos_plus` and `cos_minus`; all
    over the whole batch. No clock time, so that equal runs write equal bytes: images/s are in the history so
    far, on the progress bar, in the line that ends it and in the summary, under `timing`.

    Raises ValueError for a batch that does not fit the images, the ranks or the BatchNorm groups, and for a
    checkpoint of another run; TrainingError as the recipe's `non_finite` and `collapse` say; Preempted (exit
    status 75) after SIGTERM or SIGUSR1, KeyboardInterrupt after SIGINT, with a checkpoint saved;
    torch.OutOfMemoryError with the number of GPUs that would do.
    """
    place = distributed.join(device)
    torch.set_num_threads(threads)
    recipe, seed, options = settings.recipe, settings.seed, settings.views
    train, held_out = images.split(recipe.held_out, seed)
    batches = Batches(images, train, recipe, seed, place)
    state = State(settings, images, outputs.checkpoint, place)
    monitor = Monitor(settings, batches, state, progress)
    probe = Probe(images, train, held_out, recipe, options, seed)
    names = options.names(state.method.views, spd=settings.spd is not None)

    with explained(settings, distributed.world_size(), place), stop_requests() as received, monitor:
        for batch in batches.start_at(state.done):
            monitor.lap("data")
            draws = draw(options, seed=seed, step=batch.step, batch=recipe.batch, names=names)
            draws = slice_draws(draws, *batches.share)
            views = apply(batch.images, batch.sizes, draws, options)
            views = {name: state.cast(view) for name, view in views.items()}
            monitor.lap("views")

            rate = state.set_rate(batch.step, batches.steps, batches.steps_per_epoch)
            state.optimiser.zero_grad(set_to_none=True)
            before = state.snapshot()
            with state.autocast:
                out = state.network(views, batch.labels, seed_of(seed, "step", batch.step))
            monitor.lap("forward")

            out["loss"].backward()
            gradient_norm = get_total_norm([p.grad for p in state.trained if p.grad is not None])
            # A finite loss can have a gradient that is not, and that would end up in the weights.
            finite = bool(torch.isfinite(out["loss"] + gradient_norm))
            left_out, stopped = distributed.any_rank(not finite, bool(received))
            done = batch.step + 1
            if left_out:
                monitor.not_finite(done)
                state.restore(before)
            else:
                state.optimiser.step()
                state.method.after_step(done / batches.steps)
            batchnorm.average_running_statistics(state.model)
            monitor.lap("backward")

            if not left_out:
                monitor.log(done, rate, out, gradient_norm)
            if done < batches.steps:
                if recipe.probe_interval and done % recipe.probe_interval == 0 and len(held_out):
                    monitor.history.add(step=done, **probe.in_training(state.model))
                if stopped:
                    state.save(done)
                    distributed.barrier()  # torchrun ends the others when one leaves, and they may be saving
                    raise Preempted(PREEMPTED)
                if state.save_is_due():
                    state.save(done)
            monitor.next_step()

    return finish(settings, outputs, state, probe, monitor, provenance or {})
