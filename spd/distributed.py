"""The few collective operations that pre-training needs; each is the identity in a single process."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist


def world_size() -> int:
    """Number of ranks; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's rank; 0 without torch.distributed."""
    return dist.get_rank() if world_size() > 1 else 0


def join(device: str) -> torch.device:
    """Joins torchrun's process group where there is one, and returns the device to train on.

    `device`: `auto` (cuda where there is one), `cpu`, `cuda` or `cuda:N`; under torchrun each rank takes the
    GPU of its LOCAL_RANK.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if device == "cuda":
            device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            # Ranks wait for rank 0, which judges the backbone alone: longer than NCCL's ten minutes.
            backend = "nccl" if device.startswith("cuda") else "gloo"
            dist.init_process_group(backend, timeout=timedelta(hours=2))
    return torch.device(device)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        ctx.rows = len(x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        start = rank() * ctx.rows
        return gradient[start : start + ctx.rows]


def gather(x: torch.Tensor) -> torch.Tensor:
    """All ranks' rows in rank order: (B, ...) -> (ranks * B, ...), with a gradient.

    The backward pass sums the gradients of all ranks and takes this rank's rows; with
    DistributedDataParallel's mean over ranks, the mean of the ranks' losses then has exactly the gradient
    that one process with the whole batch has.
    """
    return _Gather.apply(x) if world_size() > 1 else x


def mean(x: torch.Tensor) -> torch.Tensor:
    """The mean over ranks, without a gradient; `x` is not changed."""
    if world_size() == 1:
        return x.detach()
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / world_size()


def any_rank(*flags: bool) -> tuple[bool, ...]:
    """Of each flag, whether it is set on any rank."""
    if world_size() == 1:
        return flags
    raised = torch.tensor(flags, dtype=torch.float32)
    raised = raised.cuda() if dist.get_backend() == "nccl" else raised
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in raised.tolist())


def barrier() -> None:
    """Waits for all ranks."""
    if world_size() > 1:
        dist.barrier()
