"""Differences between runs that share a seed, with intervals."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats


class Difference(NamedTuple):
    """Mean of the paired differences, a t interval around it, and the number of pairs."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> str:
        """`+` or `-` where the interval excludes 0, else empty."""
        return "+" if self.low > 0 else "-" if self.high < 0 else ""


def paired(values: Mapping[int, float], base: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """values - base over the seeds that both have: mean and two-sided t interval (the seeds are the sample).

    Fewer than two pairs have no interval: its ends are then infinite. Raises ValueError without a common
    seed.
    """
    seeds = sorted(values.keys() & base.keys())
    if not seeds:
        raise ValueError("no seed in common")
    differences = np.array([values[seed] - base[seed] for seed in seeds])
    if len(seeds) < 2:
        return Difference(float(differences[0]), -np.inf, np.inf, 1)
    half = stats.t.ppf((1 + confidence) / 2, len(seeds) - 1) * differences.std(ddof=1) / np.sqrt(len(seeds))
    mean = float(differences.mean())
    return Difference(mean, mean - float(half), mean + float(half), len(seeds))
