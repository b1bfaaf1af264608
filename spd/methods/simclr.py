"""SimCLR (https://arxiv.org/abs/2002.05709): two views of each image against the batch. Equations:
docs/methods/simclr.md."""

import math

import torch
from torch import Tensor, nn

from spd.losses.nce import infonce, ntxent
from spd.methods.options import SimCLRRecipe


class SimCLR(nn.Module):
    """Backbone and 2-layer projector with BatchNorm after both layers. Parameters are drawn from torch's
    global generator."""

    views = ("q", "k")
    fixed_lr = None

    def __init__(self, backbone: nn.Module, dim: int, recipe: SimCLRRecipe):
        super().__init__()
        hidden, out = recipe.projector
        self.backbone = backbone
        self.projector = nn.Sequential(
            nn.Linear(dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, out, bias=False),
            nn.BatchNorm1d(out),
        )
        self.projector[-1].bias.requires_grad_(False)  # scale, but no shift, as in the repository
        self.loss = {"infonce": infonce, "ntxent": ntxent}[recipe.loss]
        self.temperature = recipe.temperature
        self.dim = out
        self.expected_loss = math.log(recipe.batch if recipe.loss == "infonce" else 2 * recipe.batch - 1)

    def embed(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> projections z (B, D)."""
        return self.projector(self.backbone(x))

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """Views `q`, `k` (B, 3, H, W) -> `loss` (scalar) and `z` (B, D), the projections of q. Both views
        share their BN statistics."""
        z, z_hat = self.embed(torch.cat([views["q"], views["k"]])).chunk(2)  # (B, D) each
        return {"loss": self.loss(z, z_hat, self.temperature), "z": z}
