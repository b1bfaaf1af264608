"""MoCo v2 (https://arxiv.org/abs/1911.05722, https://arxiv.org/abs/2003.04297). Equations:
docs/methods/moco.md."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from spd import distributed
from spd.losses.nce import queue_nce
from spd.methods.base import Method
from spd.methods.options import MoCoRecipe
from spd.seeds import permutation


class MoCo(Method):
    """Query encoder, key encoder (its moving average) and a queue of keys. Parameters are drawn from torch's
    global generator."""

    Options = MoCoRecipe

    def __init__(self, backbone: nn.Module, width: int, recipe: MoCoRecipe, classes: int):
        super().__init__(backbone, width, recipe, classes)
        hidden, out = recipe.projector
        self.projector = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out)
        )
        self.key_encoder = copy.deepcopy(nn.Sequential(self.backbone, self.projector)).requires_grad_(False)
        self.register_buffer("queue", normalize(torch.randn(recipe.queue, out), dim=1))  # (K, D)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.key_momentum = recipe.key_momentum
        self.temperature = recipe.temperature
        self.embedding_width = out
        self.expected_loss = math.log(1 + recipe.queue)
        self.new_keys: Tensor | None = None

    @property
    def backbones(self) -> tuple[nn.Module, ...]:
        """Of the query and of the key encoder."""
        return self.backbone, self.key_encoder[0]

    @torch.no_grad()
    def embed_by_target(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> projections (B, D) of the key encoder."""
        return self.key_encoder(x)

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """Views `q`, `k` (B, 3, H, W) -> `loss` (scalar) and `z` (B, D), the query projections of q."""
        z = self.embed(views["q"])  # (B, D)
        self._move_key_encoder()
        k = self._keys(views["k"], seed)  # (B, D)
        return {"loss": queue_nce(z, k, self.queue, self.temperature), "z": z}

    @torch.no_grad()
    def _move_key_encoder(self) -> None:
        queries = [*self.backbone.parameters(), *self.projector.parameters()]
        for key, query in zip(self.key_encoder.parameters(), queries, strict=True):
            key.mul_(self.key_momentum).add_(query, alpha=1 - self.key_momentum)

    @torch.no_grad()
    def _keys(self, x: Tensor, seed: int) -> Tensor:
        """Keys meet other images in their BatchNorm group than their queries do, or the statistics would tell
        which key belongs to which query (shuffle-BN)."""
        own = slice(distributed.rank() * len(x), (distributed.rank() + 1) * len(x))
        everyone = distributed.gather(x)
        order = permutation(len(everyone), "moco keys", seed).to(x.device)
        keys = normalize(self.key_encoder(everyone[order[own]]), dim=1).to(self.queue.dtype)
        self.new_keys = torch.empty(len(everyone), self.embedding_width, dtype=keys.dtype, device=keys.device)
        self.new_keys[order] = distributed.gather(keys)
        return self.new_keys[own]

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Puts the step's keys in the queue: after the optimiser's step, since the backward pass reads the
        queue."""
        start = int(self.pointer)
        self.queue[start : start + len(self.new_keys)] = self.new_keys
        self.pointer.fill_((start + len(self.new_keys)) % len(self.queue))
        self.new_keys = None
