"""BatchNorm whose result does not depend on how many ranks share the batch.

`global`: statistics of the whole batch, as torch's SyncBatchNorm, which refuses CPU tensors. `ghost`:
statistics of fixed groups of images (ghost batch normalisation, https://arxiv.org/abs/1705.08741); with
groups of 32 it is what 8 GPUs with plain BatchNorm do to a batch of 256, on any number of ranks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from spd.distributed import world_size

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""The layers whose output is the normalised input and nothing else."""


class _GlobalNormalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias with mean and variance over all ranks' images and pixels;
    equal shapes on all ranks.

    Saves `x` as it came and no more, as torch's own batch_norm does: the normalised values are computed
    again. Gradients of `weight` and `bias` are those of this rank's images.
    """

    @staticmethod
    def forward(
        ctx, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        axes = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        work = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        local = torch.stack([work.mean(axes), work.var(axes, correction=0)])  # (2, C)
        parts = [torch.empty_like(local) for _ in range(world_size())]
        dist.all_gather(parts, local)
        means, variances = torch.stack(parts).unbind(1)  # (ranks, C) each
        mean = means.mean(0)
        variance = (variances + (means - mean) ** 2).mean(0)
        scale = torch.rsqrt(variance + eps)
        result = (work - mean.view(shape)) * scale.view(shape)
        if weight is not None:
            result = result * weight.view(shape) + bias.view(shape)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.mark_non_differentiable(mean, variance)
        return result.to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx, gradient: torch.Tensor, _mean, _variance) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        axes = [0, *range(2, gradient.dim())]
        shape = [1, -1] + [1] * (gradient.dim() - 2)
        work = gradient.to(mean.dtype)
        normalised = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        own = torch.stack([work.mean(axes), (work * normalised).mean(axes)])  # (2, C)
        sums = own.clone()
        dist.all_reduce(sums)
        first, second = sums / world_size()
        result = (work - first.view(shape) - normalised * second.view(shape)) * scale.view(shape)
        if weight is None:
            return result.to(gradient.dtype), None, None, None
        count = gradient.numel() // gradient.shape[1]
        of_bias, of_weight = (own * count).to(weight.dtype)
        return (result * weight.view(shape)).to(gradient.dtype), of_weight, of_bias, None


class _ThenBatchNorm(_BatchNorm):
    """Normalises, then applies the submodules named in `after`: what a replaced layer did behind its own
    normalisation. With `moves` False a training pass leaves the running statistics alone."""

    after: tuple[str, ...] = ()
    moves = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.normalised(x)
        for name in self.after:
            x = getattr(self, name)(x)
        return x


class GlobalBatchNorm(_ThenBatchNorm):
    """BatchNorm over the batch of all ranks together: (B, C) or (B, C, H, W) on each rank, equal shapes.

    In a single process it is torch's batch_norm itself.
    """

    def _check_input_dim(self, x: torch.Tensor) -> None:
        if x.dim() not in (2, 3, 4):
            raise ValueError(f"expected (B, C), (B, C, L) or (B, C, H, W), got {tuple(x.shape)}")

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return _BatchNorm.forward(self, x)
        if world_size() == 1:
            if self.moves:
                return _BatchNorm.forward(self, x)
            self._check_input_dim(x)
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        self._check_input_dim(x)
        normalised, mean, variance = _GlobalNormalise.apply(x, self.weight, self.bias, self.eps)
        if not self.moves:
            return normalised
        with torch.no_grad():
            count = x.numel() // x.shape[1] * world_size()
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(
                (variance * (count / (count - 1))).to(self.running_var.dtype), self.momentum
            )
        return normalised


class GhostBatchNorm(_ThenBatchNorm):
    """BatchNorm over consecutive groups of `group` images: (B, C) or (B, C, H, W); B a multiple of `group`,
    or smaller than it.

    The running statistics take the mean of the groups' ones, once a call. Raises ValueError for any other B
    while training.
    """

    group = 32

    def _check_input_dim(self, x: torch.Tensor) -> None:
        if x.dim() not in (2, 3, 4):
            raise ValueError(f"expected (B, C), (B, C, L) or (B, C, H, W), got {tuple(x.shape)}")

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return _BatchNorm.forward(self, x)
        self._check_input_dim(x)
        group = min(self.group, len(x))
        if len(x) % group:
            raise ValueError(f"{len(x)} images on a rank are no multiple of batch_norm_group {self.group}")
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        # momentum 1 / (i + 1) makes `mean` and `var` the plain mean of the groups' statistics
        parts = [
            F.batch_norm(part, mean, var, self.weight, self.bias, True, 1 / (i + 1), self.eps)
            for i, part in enumerate(x.split(group))
        ]
        if self.moves:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        return torch.cat(parts) if len(parts) > 1 else parts[0]


def convert(module: nn.Module, kind: str, group: int = 32, momentum: float = 0.1) -> nn.Module:
    """Makes every BatchNorm inside `module` a `global` or a `ghost` one, in place; parameters, buffers and
    key names stay, and so does the activation that timm's norm layers hold.

    Raises ValueError for a kind of BatchNorm whose forward is not known: it may do more than normalise.
    """
    for child in list(module.modules()):
        for name, norm in child.named_children():
            if not isinstance(norm, _BatchNorm):
                continue
            if type(norm) not in (*PLAIN, BatchNormAct2d, GlobalBatchNorm, GhostBatchNorm):
                known = ", ".join(kind.__name__ for kind in (*PLAIN, BatchNormAct2d))
                found = f"{type(norm).__name__} of {type(child).__name__}"
                raise ValueError(f"{found} cannot be shared among ranks: known are {known}")
            new = (GlobalBatchNorm if kind == "global" else GhostBatchNorm)(
                norm.num_features, norm.eps, momentum, norm.affine, norm.track_running_stats
            )
            new._parameters, new._buffers, new._modules = norm._parameters, norm._buffers, norm._modules
            new.after = tuple(norm._modules)  # of timm's: drop, act, in the order of its forward
            new.group = group
            new.train(norm.training)
            setattr(child, name, new)
    return module


def freeze(module: nn.Module) -> None:
    """Makes every BatchNorm inside `module` normalise by its running statistics and leave them alone, until
    `train()` is called again; scale and shift stay trainable."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()


@contextmanager
def keeping_running_statistics(module: nn.Module) -> Iterator[None]:
    """Inside the block, training passes of `module` normalise by their batch as always and leave the running
    statistics of every converted BatchNorm as they are."""
    norms = [norm for norm in module.modules() if isinstance(norm, _ThenBatchNorm)]
    for norm in norms:
        norm.moves = False
    try:
        yield
    finally:
        for norm in norms:
            norm.moves = True


@torch.no_grad()
def average_running_statistics(module: nn.Module) -> None:
    """Makes the running statistics of every ghost BatchNorm the mean over ranks.

    The update is linear in the groups' statistics, so averaging after each step is what one process computes
    over all groups.
    """
    if world_size() == 1:
        return
    buffers = [
        b for m in module.modules() if isinstance(m, GhostBatchNorm) for b in (m.running_mean, m.running_var)
    ]
    if not buffers:
        return
    flat = torch.cat(buffers)
    dist.all_reduce(flat)
    for buffer, value in zip(buffers, (flat / world_size()).split([len(b) for b in buffers]), strict=True):
        buffer.copy_(value)
