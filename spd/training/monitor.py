"""What is seen of a training while it runs: history, progress bar, times; and when it must not go on."""

import logging
import math
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize
from torch.nn.utils import get_total_norm
from tqdm import tqdm

from spd import distributed
from spd.training.history import History
from spd.training.prefetch import Batches
from spd.training.settings import Settings
from spd.training.state import State

log = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """The loss is not finite or the embeddings have collapsed; the message names step, images and last good
    checkpoint."""


class Monitor:
    """Watches a training from the step that `state` is at; a context, inside which the clock runs.

    progress: whether rank 0 writes a bar and two lines to stderr.
    """

    def __init__(self, settings: Settings, batches: Batches, state: State, progress: bool):
        self.recipe, self.batches, self.state = settings.recipe, batches, state
        self.first = state.done
        if state.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(state.device)
        self.history = History(Path(f"{state.path}.history.jsonl"), distributed.rank() == 0)
        self.history.start(self.first)
        self.prints = progress and distributed.rank() == 0
        if self.prints:
            print(self._opening(settings), file=sys.stderr)
        self.seconds = dict.fromkeys(("data", "views", "forward", "backward"), 0.0)
        self.elapsed = 0.0

    def __enter__(self) -> "Monitor":
        self.bar = tqdm(
            total=self.batches.steps, initial=self.first, disable=not self.prints, mininterval=1, unit="step"
        )
        self.began, self.lap_at = time.monotonic(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.elapsed = time.monotonic() - self.began
        self.bar.close()

    def lap(self, part: str) -> None:
        """Adds the time since the last lap to a part of the step. On a GPU the parts overlap: there it is
        where the CPU waited."""
        now = time.perf_counter()
        self.seconds[part] += now - self.lap_at
        self.lap_at = now

    def next_step(self) -> None:
        """Moves the bar. What came after the last lap (lines, probes, checkpoints) is of no part."""
        self.bar.update()
        self.lap_at = time.perf_counter()

    def log(
        self, done: int, rate: float, out: Mapping[str, torch.Tensor], gradient_norm: torch.Tensor
    ) -> None:
        """Adds a line to the history after `done` steps where the recipe wants one, and looks for collapse.

        Raises TrainingError as the recipe's `collapse` says.
        """
        if done % self.recipe.log_interval and done not in (1, self.batches.steps):
            return
        line = {
            "step": done,
            "lr": rate,
            **_measured(out),
            "gradient_norm": float(gradient_norm),
            "parameter_norm": float(get_total_norm(self.state.trained)),
        }
        speed = (done - self.first) * self.recipe.batch / max(time.monotonic() - self.began, 1e-9)
        self.history.add(**line, images_per_second=round(speed, 1))
        std = line["embedding_std"]
        self.bar.set_postfix_str(
            f"loss {line['loss']:.3f}, std {std:.2f}, {speed:.0f} images/s", refresh=False
        )
        if done > self.recipe.collapse_after and std < self.recipe.collapse_below:
            bound = f"std * sqrt(d) = {std:.2g} < {self.recipe.collapse_below:g}"
            message = self._trouble(f"the embeddings have collapsed ({bound})", done)
            if self.recipe.collapse == "stop":
                raise TrainingError(message)
            log.warning(message)

    def not_finite(self, done: int) -> None:
        """Step `done` (from 1) has no finite loss: raises TrainingError, or warns, as the recipe's
        `non_finite` says."""
        message = self._trouble("loss or gradient is not finite", done)
        if self.recipe.non_finite == "stop":
            raise TrainingError(message)
        log.warning("%s; the step is left out", message)

    def timing(self) -> dict[str, float | None]:
        """Seconds in all and of each part, images/s, peak memory in MiB."""
        trained = (self.batches.steps - self.first) * self.recipe.batch
        timing = {
            "seconds": self.elapsed,
            "images_per_second": trained / self.elapsed if self.elapsed else None,
            **{f"{name}_seconds": value for name, value in self.seconds.items()},
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        peak = f"peak memory {timing['peak_memory_mib']:.0f} MiB"
        if self.state.device.type == "cuda":
            timing["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated(self.state.device) / 2**20
            peak += f", of the GPU {timing['peak_gpu_memory_mib']:.0f} MiB"
        if self.prints and trained:
            total = sum(self.seconds.values())
            shares = ", ".join(f"{name} {value / total:.0%}" for name, value in self.seconds.items())
            print(
                f"{timing['images_per_second']:.0f} images/s; time in {shares} and step; {peak}",
                file=sys.stderr,
            )
        return timing

    def _opening(self, settings: Settings) -> str:
        expected = self.state.method.expected_loss
        return (
            f"{self.recipe.method}{f' + SPD (eta {settings.spd.eta:g})' if settings.spd else ''} "
            f"on {settings.architecture} {f'continues at step {self.first}' if self.first else 'starts'}: "
            f"{self.batches.steps} steps of {self.recipe.batch}, {len(self.batches.train)} images, "
            f"{distributed.world_size()} x {self.state.device.type}"
            f"{f'; expected initial loss {expected:.3f}' if expected is not None else ''}"
        )

    def _trouble(self, problem: str, done: int) -> str:
        names = self.batches.names(done - 1)
        shown = ", ".join(names[:8])
        if len(names) > 8:
            list_path = Path(f"{self.state.path}.batch.txt")
            if distributed.rank() == 0:
                list_path.write_text("".join(f"{name}\n" for name in names))
            shown += f" and {len(names) - 8} more, all in {list_path}"
        return (
            f"step {done}: {problem}; images of the batch: {shown}; "
            f"last good checkpoint: {self.state.last_saved}"
        )


@torch.no_grad()
def _measured(out: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Loss, its parts and the embeddings' spread, over the whole batch of all ranks."""
    z = normalize(out["z"].detach().double(), dim=1)  # (B, D)
    moments = distributed.mean(torch.stack([z.mean(0), (z * z).mean(0)]))
    std = (moments[1] - moments[0] ** 2).clamp_min(0).sqrt().mean() * math.sqrt(z.shape[1])
    parts = {name: float(distributed.mean(value)) for name, value in out.items() if value.dim() == 0}
    return {**parts, "embedding_std": float(std)}
