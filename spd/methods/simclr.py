"""SimCLR (https://arxiv.org/abs/2002.05709): two views of each image against the batch. Equations:
docs/methods/simclr.md."""

import math

import torch
from torch import Tensor, nn

from spd.losses.nce import infonce, ntxent
from spd.methods.base import Method
from spd.methods.options import SimCLRRecipe


class SimCLR(Method):
    """Backbone and 2-layer projector with BatchNorm after both layers. Parameters are drawn from torch's
    global generator."""

    Options = SimCLRRecipe

    def __init__(self, backbone: nn.Module, width: int, recipe: SimCLRRecipe, classes: int):
        super().__init__(backbone, width, recipe, classes)
        hidden, out = recipe.projector
        self.projector = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, out, bias=False),
            nn.BatchNorm1d(out),
        )
        self.projector[-1].bias.requires_grad_(False)  # scale, but no shift, as in the repository
        self.loss = {"infonce": infonce, "ntxent": ntxent}[recipe.loss]
        self.temperature = recipe.temperature
        self.embedding_width = out
        self.expected_loss = math.log(recipe.batch if recipe.loss == "infonce" else 2 * recipe.batch - 1)

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """Views `q`, `k` (B, 3, H, W) -> `loss` (scalar) and `z` (B, D), the projections of q. Both views
        share their BN statistics."""
        z, z_hat = self.embed(torch.cat([views["q"], views["k"]])).chunk(2)  # (B, D) each
        return {"loss": self.loss(z, z_hat, self.temperature), "z": z}
