"""Differences between runs that share a seed, with intervals."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats


class Difference(NamedTuple):
    """Mean of the paired differences, a t interval around it, the number of pairs, and p of its being 0."""

    mean: float
    low: float
    high: float
    n: int
    p: float

    @property
    def sign(self) -> str:
        """`+` or `-` where the interval excludes 0, else empty."""
        return "+" if self.low > 0 else "-" if self.high < 0 else ""


def paired(values: Mapping[int, float], base: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """values - base over the seeds that both have: mean, two-sided t interval and p (the seeds are the
    sample).

    Fewer than two pairs have no interval: its ends are then infinite, and p is 1. Raises ValueError without a
    common seed.
    """
    seeds = sorted(values.keys() & base.keys())
    if not seeds:
        raise ValueError("no seed in common")
    differences = np.array([values[seed] - base[seed] for seed in seeds])
    mean = float(differences.mean())
    if len(seeds) < 2:
        return Difference(mean, -np.inf, np.inf, 1, 1.0)
    error = float(differences.std(ddof=1)) / np.sqrt(len(seeds))
    if error == 0:
        return Difference(mean, mean, mean, len(seeds), float(mean == 0))
    half = float(stats.t.ppf((1 + confidence) / 2, len(seeds) - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, len(seeds) - 1))
    return Difference(mean, mean - half, mean + half, len(seeds), p)
