"""Which test images the qualitative figure shows: a rule, so that nobody picks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RULE = (
    "Anomalous test images, by how many places SPD moves each one up in the order of image scores among all "
    "test images, as a share of their number: the largest rise, the median, and the largest fall."
)


class Case(NamedTuple):
    """One image shown: its index among the test images, and why."""

    index: int
    kind: str
    """best, median or worst."""
    shift: float
    """Change of its rank by SPD as a share of all test images, in [-1, 1]; positive = more anomalous."""


def choose_cases(
    without: np.ndarray, with_spd: np.ndarray, anomalous: np.ndarray, names: Sequence[str]
) -> list[Case]:
    """Best, median and worst anomalous image by the rule `RULE`; fewer where there are fewer images. (ours)

    without, with_spd: (N,) image scores of the same test images, larger = more anomalous; anomalous: (N,)
    bool; names: N distinct names, which decide between equal shifts. Ranks of equal scores are averaged. With
    an even number of images the median is the upper of the two in the middle. Raises ValueError for unequal
    lengths.
    """
    if not len(without) == len(with_spd) == len(anomalous) == len(names):
        raise ValueError(
            f"scores without and with SPD, labels and names differ in length: "
            f"{len(without)}, {len(with_spd)}, {len(anomalous)}, {len(names)}"
        )
    shifts = (_ranks(with_spd) - _ranks(without)) / max(len(names), 1)
    order = sorted(np.flatnonzero(anomalous).tolist(), key=lambda i: (-shifts[i], names[i]))
    if not order:
        return []
    places = {"best": 0, "median": (len(order) - 1) // 2, "worst": len(order) - 1}
    chosen: dict[int, Case] = {}
    for kind in ("best", "worst", "median"):
        index = order[places[kind]]
        chosen.setdefault(index, Case(index, kind, float(shifts[index])))
    return sorted(chosen.values(), key=lambda case: order.index(case.index))


def _ranks(scores: np.ndarray) -> np.ndarray:
    """(N,) ranks from 1, equal scores sharing their mean rank."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def in_normal_units(maps: np.ndarray, anomalous: np.ndarray, quantile: float = 0.99) -> np.ndarray:
    """Heat maps in units that detectors without and with SPD share: 0 is the median score of normal pixels.

    maps: (N, H, W) floating; anomalous: (N,) bool. Returns float32 (N, H, W): (score - median)/(q - median),
    median and quantile q over the pixels of normal test images; 1 is then a score that 99 % of normal pixels
    stay below. Without normal images all images are used; where q is the median, the unit is 1. (ours)
    """
    normal = maps[~anomalous] if (~anomalous).any() else maps
    middle, high = np.quantile(normal.astype(np.float64), [0.5, quantile])
    return ((maps - middle) / (high - middle if high > middle else 1.0)).astype(np.float32)
