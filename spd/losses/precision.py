"""Losses in float32 or better, whatever the network around them runs in."""

import functools
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch.amp.autocast_mode import is_autocast_available

HALF = (torch.bfloat16, torch.float16)


def at_least_float32(loss: Callable) -> Callable:
    """Decorator: half-precision arguments become float32 and autocast is off inside; a temperature of 0.1
    makes rounding ten times larger."""

    @functools.wraps(loss)
    def wrapped(*arguments):
        device = next(a.device.type for a in arguments if isinstance(a, torch.Tensor))
        off = torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext()
        with off:
            return loss(
                *(a.float() if isinstance(a, torch.Tensor) and a.dtype in HALF else a for a in arguments)
            )

    return wrapped
