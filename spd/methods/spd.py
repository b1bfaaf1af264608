"""The SPD term, added to any base method (https://arxiv.org/abs/2207.14315). Equations:
docs/methods/spd.md."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from spd.backbones.batchnorm import keeping_running_statistics
from spd.losses.classification import spd_xent
from spd.losses.cosine import cosine, spd_cosine
from spd.methods.base import Method
from spd.methods.options import Recipe, SPDOptions


class WithSPD(nn.Module):
    """A base method with loss + eta * L_SPD; the method itself knows nothing of it.

    The views `plus` and `minus` (and `anchor`, with `anchor: image`) pass the method's `embed` after its own
    views: `plus` and `minus` each by itself, or in one pass, so that they share BatchNorm's statistics
    (`statistics`).
    """

    def __init__(self, method: Method, options: SPDOptions, recipe: Recipe):
        """recipe: the base method's."""
        super().__init__()
        self.method = method
        self.options = options
        self.shared = options.statistics_of(recipe) == "shared"
        self.perturbed = None
        if options.objective_of(recipe) == "xent":
            self.perturbed = nn.Linear(method.embedding_width, 2)

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """The method's outputs with the SPD term in `loss`; `base` and `spd` are its parts, `z`, `z_plus`,
        `z_minus` (B, D)."""
        out = self.method(views, labels, seed)
        with self._running_statistics():
            z = self.method.embed(views["anchor"]) if self.options.anchor == "image" else out["z"]
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.options.stop_gradient == "none"):
                z_plus, z_minus = self.embed_pair(views["plus"], views["minus"])  # (B, D) each
        if self.perturbed is None:
            term = self._cosines(z, z_plus, z_minus)
        else:
            term = spd_xent(self.perturbed(z_plus), self.perturbed(z_minus))
        return {
            **out,
            "loss": out["loss"] + self.options.eta * term,
            "base": out["loss"].detach(),
            "spd": term.detach(),
            "z_plus": z_plus.detach(),
            "z_minus": z_minus.detach(),
            "cos_plus": cosine(z.detach(), z_plus.detach()),
            "cos_minus": cosine(z.detach(), z_minus.detach()),
        }

    def embed_pair(self, plus: Tensor, minus: Tensor) -> tuple[Tensor, Tensor]:
        """Views (B, 3, H, W) -> z_plus, z_minus (B, D)."""
        if not self.shared:
            return self._embed(plus), self._embed(minus)
        # Pair by pair: a ghost group of 32 images holds 16 pairs, whatever the number of ranks.
        both = torch.stack([plus, minus], 1).flatten(0, 1)  # (2B, 3, H, W)
        if not plus.is_contiguous():
            both = both.contiguous(memory_format=torch.channels_last)
        z_plus, z_minus = self._embed(both).unflatten(0, (-1, 2)).unbind(1)
        return z_plus, z_minus

    def _running_statistics(self):
        if self.options.running_statistics == "all":
            return nullcontext()
        return keeping_running_statistics(self.method)

    def _embed(self, x: Tensor) -> Tensor:
        by_target = self.options.moco_encoder == "key"
        return self.method.embed_by_target(x) if by_target else self.method.embed(x)

    def _cosines(self, z: Tensor, z_plus: Tensor, z_minus: Tensor) -> Tensor:
        if self.options.cosines == "plus":
            return -cosine(z, z_plus)
        if self.options.cosines == "minus":
            return cosine(z, z_minus)
        return spd_cosine(z, z_plus, z_minus)
