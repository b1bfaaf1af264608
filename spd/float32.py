"""float32 means float32 on a GPU too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside (a block, or a function that it decorates), convolutions and matrix products of float32 keep all
    24 bits; torch lets cuDNN round their inputs to TF32's 11 otherwise. Half-precision autocast is not
    touched. Nothing changes on a CPU. Ours.
    """
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
