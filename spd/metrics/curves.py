"""Exact ROC, precision-recall and per-region-overlap curves, thinned for plotting."""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spd.metrics.image import image_sweep
from spd.metrics.pixel import pixel_sweep
from spd.metrics.sweep import Sweep, pr_points, pro_points, roc_points

COLUMNS = 8192
"""Plot columns within which a curve is first reduced to its outline: finer than any screen's."""


class Curve(NamedTuple):
    """Corners of a piecewise linear curve in the unit square, in drawing order; x and y are (m,) float64."""

    x: np.ndarray
    y: np.ndarray


def image_curves(
    scores: np.ndarray, labels: np.ndarray, *, n: int = 500, names: Sequence[str] | None = None
) -> dict[str, Curve]:
    """`{"ROC": (fpr, tpr), "PR": (recall, precision)}` of image scores, each of at most `n` points.

    Arguments and errors as spd.metrics.image.image_metrics. Empty when only one class is present.
    """
    return curves_of(image_sweep(scores, labels, names=names), n=n)


def pixel_curves(
    maps: np.ndarray | Iterable[np.ndarray],
    masks: np.ndarray | Iterable[np.ndarray],
    *,
    pro: bool = True,
    n: int = 500,
    names: Sequence[str] | None = None,
) -> dict[str, Curve]:
    """`{"ROC", "PR", "PRO": (fpr, mean per-region overlap)}` over all pixels, each of at most `n` points.

    The PRO curve is whole, to FPR 1. Arguments and errors as spd.metrics.pixel.pixel_metrics. Empty with one
    class only.
    """
    return curves_of(pixel_sweep(maps, masks, pro=pro, names=names), n=n)


def curves_of(sweep: Sweep, *, n: int = 500) -> dict[str, Curve]:
    """The thinned curves of a sweep; `PRO` only where it has regions. Empty with one class only."""
    if not sweep.positives or not sweep.negatives:
        return {}
    curves = {"ROC": roc_points(sweep), "PR": pr_points(sweep)}
    if sweep.region_overlap is not None:
        curves["PRO"] = pro_points(sweep)
    return {name: thin(x, y, n) for name, (x, y) in curves.items()}


def thin(x: np.ndarray, y: np.ndarray, n: int) -> Curve:
    """At most `n` >= 2 of the curve's own corners, chosen so that the others lie close to their line.

    `x`, `y`: (m,) in [0, 1], x nondecreasing. First each of 8192 columns keeps its first, lowest, highest
    and last corner (M4: Jugel et al., VLDB 2014), which no plot of that width can tell from the whole; then
    the corner farthest from its chord is put back until n are chosen (Douglas-Peucker, best first). Both
    ends are always kept.
    """
    if n < 2:
        raise ValueError(f"a curve needs at least 2 points, got n = {n}")
    kept = _outline(x, y)
    x, y = x[kept], y[kept]
    if len(x) <= n:
        return Curve(x, y)
    chosen = [0, len(x) - 1]
    spans = []
    _push(spans, x, y, 0, len(x) - 1)
    while len(chosen) < n and spans and spans[0][0] < 0:
        _, start, middle, stop = heapq.heappop(spans)
        chosen.append(middle)
        _push(spans, x, y, start, middle)
        _push(spans, x, y, middle, stop)
    chosen = np.sort(chosen)
    return Curve(x[chosen], y[chosen])


def _outline(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sorted indices of each column's first, lowest, highest and last corner."""
    if len(x) <= COLUMNS:
        return np.arange(len(x))
    column = np.floor(x * COLUMNS)
    starts = np.flatnonzero(np.r_[True, column[1:] != column[:-1]])
    order = np.lexsort((y, column))
    ends = np.r_[starts[1:], len(x)] - 1
    return np.unique(np.concatenate([starts, ends, order[starts], order[ends]]))


def _push(spans: list, x: np.ndarray, y: np.ndarray, start: int, stop: int) -> None:
    """Adds the span's corner that lies farthest from its chord, the largest distance first out."""
    if stop - start < 2:
        return
    along_x, along_y = x[stop] - x[start], y[stop] - y[start]
    off_x, off_y = x[start + 1 : stop] - x[start], y[start + 1 : stop] - y[start]
    length = along_x**2 + along_y**2
    # Distance to the segment, not to its line: a precision-recall curve turns back in y.
    share = np.clip((off_x * along_x + off_y * along_y) / length, 0, 1) if length > 0 else 0.0
    distance = np.hypot(off_x - share * along_x, off_y - share * along_y)
    farthest = int(np.argmax(distance))
    heapq.heappush(spans, (-float(distance[farthest]), start, start + 1 + farthest, stop))
