"""What a training changes, step by step: the network and its optimiser. Written to checkpoints and continued
from them."""

import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from spd import distributed
from spd.backbones import architectures, batchnorm, files
from spd.data.corpus import Corpus
from spd.methods.build import base, build
from spd.seeds import seed_of
from spd.training import checkpoint, optimisers, schedules
from spd.training.settings import Settings


class State:
    """The network of `settings` on a device, with the optimiser and the number of steps done.

    It starts from random weights, from `settings.init`, or from the checkpoint where there is one. `method`:
    the base method; `model`: that with the SPD term around it; `network`: what a step calls, the model with
    its gradients averaged over ranks. Raises ValueError for a checkpoint of another run, an `init` of another
    architecture, and for `frozen_norm` without `init`.
    """

    def __init__(self, settings: Settings, images: Corpus, checkpoint_path: Path, device: torch.device):
        self.recipe = recipe = settings.recipe
        self.path, self.device = checkpoint_path, device
        self.identity = settings.identity(images)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(settings.seed, "weights"))
            self.model = build(settings.architecture, recipe, settings.spd, classes=len(images.classes))
        self.method = base(self.model)
        if settings.init is not None:
            for backbone in self.method.backbones:
                files.load_into(backbone, settings.init, architecture=settings.architecture)
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.memory_format = architectures.memory_format(self.model)
        self.model.to(device, self.dtype, memory_format=self.memory_format).train()
        if recipe.frozen_norm:
            if settings.init is None:
                raise ValueError(
                    "frozen_norm: random weights have no statistics to keep; give init, or leave it out"
                )
            for backbone in self.method.backbones:
                batchnorm.freeze(backbone)
        self.optimiser = optimisers.build(self.model, recipe, fixed=self.method.fixed_lr)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.done, self.last_saved = 0, "none yet"
        self._resume()
        self.saved_at = time.monotonic()
        if recipe.compile:
            self.method.backbone.compile()  # in place: the keys of the state dict stay
        self.network = self.model
        if distributed.world_size() > 1:
            gpus = [device.index] if device.type == "cuda" else None
            # We keep buffers equal ourselves: broadcasting them would send MoCo's queue at each forward pass.
            self.network = DistributedDataParallel(self.model, device_ids=gpus, broadcast_buffers=False)
        half = recipe.precision == "bfloat16"
        self.autocast = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()

    def set_rate(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Sets the learning rate of a step (from 0), and returns it."""
        recipe = self.recipe
        highest = schedules.base_rate(recipe.lr, recipe.lr_scaling, recipe.batch)
        rate = schedules.rate(
            step,
            base=highest,
            steps=steps,
            warmup=round(recipe.warmup_epochs * steps_per_epoch),
            schedule=recipe.schedule,
            every=steps_per_epoch if recipe.schedule_by == "epoch" else 1,
            milestones=recipe.milestones,
        )
        optimisers.set_rate(self.optimiser, rate, highest)
        return rate

    def cast(self, view: torch.Tensor) -> torch.Tensor:
        """A view (B, 3, H, W) in the network's precision and memory format."""
        return view.to(self.dtype).contiguous(memory_format=self.memory_format)

    def snapshot(self) -> list[torch.Tensor]:
        """Copies of all that a forward pass changes (key encoder, BatchNorm's statistics), for a step that
        may be left out; none where such a step ends the training."""
        return [tensor.clone() for tensor in self._moved()]

    @torch.no_grad()
    def restore(self, snapshot: list[torch.Tensor]) -> None:
        """Puts back what `snapshot` copied."""
        torch._foreach_copy_(self._moved(), snapshot)

    def save(self, done: int) -> None:
        """Writes a checkpoint after `done` steps; rank 0 does."""
        if distributed.rank() == 0:
            checkpoint.save(
                self.path,
                identity=self.identity,
                step=done,
                model=self.model.state_dict(),
                optimiser=self.optimiser.state_dict(),
            )
        self.last_saved, self.saved_at = f"{self.path} (step {done})", time.monotonic()

    def save_is_due(self) -> bool:
        """Whether the last checkpoint is as old as the recipe allows. Rank 0's clock decides, for only rank 0
        writes."""
        return time.monotonic() - self.saved_at >= 60 * self.recipe.checkpoint_minutes

    def _moved(self) -> list[torch.Tensor]:
        if self.recipe.non_finite == "stop":
            return []
        return [*self.model.buffers(), *(p for p in self.model.parameters() if not p.requires_grad)]

    def _resume(self) -> None:
        saved = checkpoint.load(self.path, identity=self.identity)
        if saved is not None:
            self.model.load_state_dict(saved["model"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.done, self.last_saved = saved["step"], f"{self.path} (step {saved['step']})"
