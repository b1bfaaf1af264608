"""SGD and LARS over parameter groups that say what is left out of weight decay and which learning rate is
fixed."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from spd.methods.options import Recipe


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling with momentum, as the SimCLR repository has it (lars_optimizer.py).

    With g the gradient plus weight decay times w: trust = eta |w| / |g| (1 where either norm is 0), m <-
    momentum m + lr trust g, w <- w - m. Groups with `adapt=False` have trust 1. Source:
    https://arxiv.org/abs/1708.03888; the rate lies inside the momentum, as there.
    """

    def __init__(
        self,
        params,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "trust_coefficient": trust_coefficient,
                "adapt": True,
            },
        )

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update from the gradients at hand."""
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad.add(w, alpha=group["weight_decay"]) if group["weight_decay"] else w.grad
                if group["adapt"]:
                    w_norm, g_norm = w.norm(), g.norm()
                    trust = torch.where(
                        (w_norm > 0) & (g_norm > 0), group["trust_coefficient"] * w_norm / g_norm, 1.0
                    )
                    g = g * trust
                momentum = self.state[w].setdefault("momentum_buffer", torch.zeros_like(w))
                momentum.mul_(group["momentum"]).add_(g, alpha=group["lr"])
                w.sub_(momentum)


def build(model: nn.Module, recipe: Recipe, fixed: nn.Module | None = None) -> torch.optim.Optimizer:
    """The recipe's optimiser over the trainable parameters of `model`; those of the submodule `fixed` form
    groups with `fixed_lr`.

    The learning rate of each group is to be set at every step (`set_rate`).
    """
    norms = {id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters(recurse=False)}
    fixed_ids = {id(p) for p in fixed.parameters()} if fixed is not None else set()
    groups: dict[tuple[bool, bool], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = recipe.exclude_norm_and_bias and (id(parameter) in norms or name.endswith(".bias"))
            groups.setdefault((plain, id(parameter) in fixed_ids), []).append(parameter)
    described = [
        {
            "params": parameters,
            "fixed_lr": is_fixed,
            "weight_decay": 0.0 if plain else recipe.weight_decay,
            **({"adapt": not plain} if recipe.optimiser == "lars" else {}),
        }
        for (plain, is_fixed), parameters in groups.items()
    ]
    if recipe.optimiser == "lars":
        return LARS(
            described, lr=recipe.lr, momentum=recipe.momentum, trust_coefficient=recipe.trust_coefficient
        )
    return torch.optim.SGD(described, lr=recipe.lr, momentum=recipe.momentum)


def set_rate(optimiser: torch.optim.Optimizer, rate: float, base: float) -> None:
    """Sets the learning rate of every group: `base` where it is fixed (SimSiam's predictor), else `rate`."""
    for group in optimiser.param_groups:
        group["lr"] = base if group["fixed_lr"] else rate
