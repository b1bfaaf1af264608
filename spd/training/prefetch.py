"""The batches of a training, each fetched in a thread while the step before it is computed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from spd import distributed
from spd.data import corpus
from spd.data.corpus import Corpus
from spd.methods.options import Recipe
from spd.training import batches


class Batch(NamedTuple):
    """This rank's share of the images of a step."""

    step: int
    """Counted from 0."""
    images: torch.Tensor
    """uint8 (B, 3, S, S), on the device."""
    sizes: np.ndarray
    """int32 (B, 2): height and width before the images were squashed."""
    labels: torch.Tensor
    """int64 (B,), on the device."""


class Batches:
    """Which images each step sees: a function of (seed, step), so a resumed run sees what it would have seen.

    train: places of the training images. The last, incomplete batch of each epoch is dropped. Raises
    ValueError for a batch that does not fit the images, the ranks or the groups of BatchNorm.
    """

    def __init__(self, images: Corpus, train: np.ndarray, recipe: Recipe, seed: int, device: torch.device):
        ranks = distributed.world_size()
        group = recipe.batch_norm_group if recipe.batch_norm == "ghost" else None
        if misfits := list(batches.misfits(recipe.batch, ranks=ranks, group=group, images=len(train))):
            raise ValueError("\n".join(misfits))
        self.images, self.train, self.seed, self.device = images, train, seed, device
        self.size = recipe.batch
        self.steps_per_epoch = len(train) // recipe.batch
        self.steps = recipe.steps or recipe.epochs * self.steps_per_epoch
        per_rank = recipe.batch // ranks
        self.share = (distributed.rank() * per_rank, (distributed.rank() + 1) * per_rank)

    def places(self, step: int) -> np.ndarray:
        """Places in the corpus of a step's images, of all ranks: int64 (batch,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = corpus.order(len(self.train), self.seed, epoch)
        return self.train[order[place * self.size : (place + 1) * self.size]]

    def names(self, step: int) -> list[str]:
        """Names of a step's images, of all ranks."""
        return [self.images.names[i] for i in self.places(step)]

    def start_at(self, first: int) -> Iterator[Batch]:
        """This rank's batches from step `first` to the last."""
        with ThreadPoolExecutor(1) as thread:
            pending = thread.submit(self._fetch, first) if first < self.steps else None
            for step in range(first, self.steps):
                images, sizes, labels = pending.result()
                if step + 1 < self.steps:
                    pending = thread.submit(self._fetch, step + 1)
                images = images.to(self.device, non_blocking=True)
                yield Batch(step, images, sizes, labels.to(self.device, non_blocking=True))

    def _fetch(self, step: int) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
        own = self.places(step)[slice(*self.share)]
        return self.images.batch(own), self.images.sizes[own], torch.from_numpy(self.images.labels[own])
