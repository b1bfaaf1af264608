"""Losses in float32 or better, whatever the network around them runs in."""

import functools
from collections.abc import Callable

import torch

HALF = (torch.bfloat16, torch.float16)


def at_least_float32(loss: Callable) -> Callable:
    """Decorator: half-precision arguments become float32 and autocast is off inside; a temperature of 0.1
    makes rounding ten times larger."""

    @functools.wraps(loss)
    def wrapped(*arguments):
        device = next(a.device.type for a in arguments if isinstance(a, torch.Tensor))
        with torch.autocast(device, enabled=False):
            return loss(
                *(a.float() if isinstance(a, torch.Tensor) and a.dtype in HALF else a for a in arguments)
            )

    return wrapped
