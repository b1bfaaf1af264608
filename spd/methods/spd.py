"""The SPD term, added to any base method (https://arxiv.org/abs/2207.14315). Equations:
docs/methods/spd.md."""

import torch
from torch import Tensor, nn

from spd.losses.classification import spd_xent
from spd.losses.cosine import cosine, spd_cosine
from spd.methods.options import SPDOptions


class WithSPD(nn.Module):
    """A base method with loss + eta * L_SPD; the method itself knows nothing of it.

    The views `plus` and `minus` (and `anchor`, with `anchor: image`) each pass the method's `embed` on their
    own, so each has its own BatchNorm statistics.
    """

    def __init__(self, method: nn.Module, options: SPDOptions, *, supervised: bool):
        super().__init__()
        self.method = method
        self.options = options
        objective = options.objective
        if objective == "auto":
            objective = "xent" if supervised else "cosine"
        self.perturbed = nn.Linear(method.dim, 2) if objective == "xent" else None

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """The method's outputs with the SPD term in `loss`; `base` and `spd` are its parts, `z`, `z_plus`,
        `z_minus` (B, D)."""
        out = self.method(views, labels, seed)
        z = self.method.embed(views["anchor"]) if self.options.anchor == "image" else out["z"]
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.options.stop_gradient == "none"):
            z_plus, z_minus = self._embed(views["plus"]), self._embed(views["minus"])  # (B, D)
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

    def _embed(self, x: Tensor) -> Tensor:
        if self.options.moco_encoder == "key" and hasattr(self.method, "key_encoder"):
            with torch.no_grad():
                return self.method.key_encoder(x)
        return self.method.embed(x)

    def _cosines(self, z: Tensor, z_plus: Tensor, z_minus: Tensor) -> Tensor:
        if self.options.cosines == "plus":
            return -cosine(z, z_plus)
        if self.options.cosines == "minus":
            return cosine(z, z_minus)
        return spd_cosine(z, z_plus, z_minus)
