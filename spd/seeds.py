"""Random streams named by what they are for, so that nothing random ever has to be saved."""

import hashlib

import torch


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from the parts' text: the same on every machine, unrelated for unequal parts."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


def permutation(n: int, *parts: int | str) -> torch.Tensor:
    """A permutation of range(n), int64 (n,), drawn on the CPU from `seed_of(*parts)`."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed_of(*parts)))
