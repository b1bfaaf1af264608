"""Random numbers that are the same with every numpy and on every machine."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draw:
    """A stream of random numbers named by a key, such as `0/gelcaps/normal/17/scene`.

    Only PCG64's raw 64-bit stream is used: numpy keeps it stable between versions, which it does not
    promise for `Generator`'s distributions; and no distribution here calls the C library's exp or log,
    whose last bits differ between machines.
    """

    def __init__(self, *key: str | int) -> None:
        name = "/".join(str(part) for part in key)
        digest = hashlib.sha256(name.encode()).digest()
        entropy = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, len(digest), 4)]
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number in [low, high)."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def uniforms(self, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 numbers in [0, 1) of the given shape."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def bells(self, shape: tuple[int, ...]) -> np.ndarray:
        """Nearly normal float64 numbers, mean 0 and deviation 1: each the sum of eight random bytes."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        total = raw.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
        return ((total - 1020) / 209.0).reshape(shape)

    def integer(self, low: int, high: int) -> int:
        """One integer in [low, high], both included (bias below 2^-40 for our ranges)."""
        return low + (int(self._bits.random_raw()) >> 11) % (high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self.integer(0, len(items) - 1)]

    def permutation(self, count: int) -> list[int]:
        """The integers 0..count-1 in random order (Fisher-Yates)."""
        order = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.integer(0, i)
            order[i], order[j] = order[j], order[i]
        return order
