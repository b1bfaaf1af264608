"""From one value an object and run to the numbers of a table: means, deviations, the paired SPD effect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Key = tuple[int, int, str]
"""(pre-training seed, detector draw, object)."""

FACTORS = ("seeds", "draws", "objects")
IMAGE_METRICS = ("AU-ROC", "AU-PR", "AP", "F1-max")


class Summary(NamedTuple):
    """A value over the runs (seed, draw), in the unit of its input."""

    value: float | None
    """Mean over runs of the unweighted mean over objects; None when no object has a value in every run."""
    std: float | None
    """Sample standard deviation (ddof = 1) over runs; None for one run."""
    n: int
    """Number of runs."""
    missing: tuple[str, ...]
    """Objects left out because a run has no value for them."""


class Effect(NamedTuple):
    """A paired difference `with - without` and its percentile bootstrap interval."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    """Number of runs (seed, draw)."""
    resampled: tuple[str, ...]
    """What is resampled, of "seeds", "draws", "objects" and "images"; never what there is one of."""
    missing: tuple[str, ...]


class ImageEffects(NamedTuple):
    """The effect on one image metric: of the mean over objects, and of each object."""

    mean: Effect
    objects: dict[str, Effect]


@dataclass(frozen=True)
class PairedScores:
    """Image scores of one object and run, without and with SPD, for the same images in the same order."""

    labels: np.ndarray
    """(N,) bool, True = anomaly."""
    without: np.ndarray
    """(N,) floating."""
    with_spd: np.ndarray
    """(N,) floating."""


def summarise(values: Mapping[Key, float | None]) -> Summary:
    """Per object, then the unweighted mean over objects, then mean and deviation over seeds and draws.

    `values`: every (seed, draw, object) of a full grid; None = undefined there. An object that is undefined
    in any run is left out of all of them, so that every run averages the same objects. Raises ValueError
    naming a cell that is NaN or missing from the grid.
    """
    grid, missing = _grid(values)
    if grid.shape[2] == 0:
        return Summary(None, None, grid.shape[0] * grid.shape[1], missing)
    runs = grid.mean(axis=2).ravel()
    return Summary(float(runs.mean()), float(runs.std(ddof=1)) if len(runs) > 1 else None, len(runs), missing)


def paired_effect(
    with_spd: Mapping[Key, float | None],
    without: Mapping[Key, float | None],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Effect:
    """Mean of `with - without`, paired by seed, draw and object, and its bootstrap interval at `level`.

    Each replicate draws seeds, draws and objects with replacement, independently of one another, and
    averages the differences of the drawn cells (crossed, or "pigeonhole", bootstrap: Owen, Annals of Applied
    Statistics 2007); the interval is made of percentiles. A factor with one level cannot be resampled: the
    interval then says nothing about it, and with no factor left it is None.
    """
    if with_spd.keys() != without.keys():
        odd = sorted(with_spd.keys() ^ without.keys())[0]
        raise ValueError(
            f"cannot pair the SPD effect: (seed, draw, object) {odd} is present on one side only"
        )
    differences = {
        key: None if with_spd[key] is None or without[key] is None else with_spd[key] - without[key]
        for key in without
    }
    grid, missing = _grid(differences)
    n = grid.shape[0] * grid.shape[1]
    if grid.shape[2] == 0:
        return Effect(None, None, None, n, (), missing)
    names = tuple(name for name, size in zip(FACTORS, grid.shape, strict=True) if size > 1)
    if not names:
        return Effect(float(grid.mean()), None, None, n, (), missing)
    rng = np.random.default_rng(seed)
    counts = [_counts(rng, resamples, size) for size in grid.shape]
    replicates = np.einsum("bs,bd,bo,sdo->b", *counts, grid) / grid.size
    low, high = _interval(replicates, level)
    return Effect(float(grid.mean()), low, high, n, names, missing)


def bootstrap_image_effects(
    scores: Mapping[Key, PairedScores],
    *,
    level: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
) -> dict[str, ImageEffects]:
    """As `paired_effect` for every image metric, but each replicate also redraws every object's test images.

    `scores`: a full grid (seed, draw, object). Images are drawn with replacement within each class, so that
    prevalence stays; the same images for both sides and for all runs of an object. Returns metric ->
    effects in [-1, 1]. Raises ValueError for labels that differ between runs of an object, one class
    only, or NaN.
    """
    seeds, draws, objects = _axes(scores)
    rng = np.random.default_rng(seed)
    shape = len(seeds), len(draws), len(objects)
    effects = {metric: np.empty((resamples + 1, *shape)) for metric in IMAGE_METRICS}
    for o, name in enumerate(objects):
        labels = np.asarray(scores[seeds[0], draws[0], name].labels)
        if labels.all() or not labels.any():
            raise ValueError(f"object {name} has test images of one class only: no image metric is defined")
        counts = np.ones((resamples + 1, len(labels)), np.int32)  # row 0: the sample itself
        for members in (np.flatnonzero(labels), np.flatnonzero(~labels)):
            counts[1:, members] = _counts(rng, resamples, len(members))
        for s, one_seed in enumerate(seeds):
            for d, draw in enumerate(draws):
                pair = scores[one_seed, draw, name]
                if not np.array_equal(pair.labels, labels):
                    raise ValueError(
                        f"object {name}: the runs do not share their test images (labels differ)"
                    )
                if np.isnan(pair.without).any() or np.isnan(pair.with_spd).any():
                    raise ValueError(f"object {name}, seed {one_seed}, draw {draw}: an image score is NaN")
                ours = weighted_metrics(pair.with_spd, labels, counts)
                theirs = weighted_metrics(pair.without, labels, counts)
                for metric in IMAGE_METRICS:
                    effects[metric][:, s, d, o] = ours[metric] - theirs[metric]
    drawn = [_counts(rng, resamples, size) for size in shape]
    return {
        metric: ImageEffects(
            _image_effect(values, drawn, level),
            {
                name: _image_effect(values[..., [o]], [*drawn[:2], np.ones((resamples, 1))], level)
                for o, name in enumerate(objects)
            },
        )
        for metric, values in effects.items()
    }


def _image_effect(values: np.ndarray, drawn: list[np.ndarray], level: float) -> Effect:
    """The effect of one sample and its replicates, (1 + resamples, seeds, draws, objects)."""
    point, replicates = values[0], values[1:]
    low, high = _interval(np.einsum("bs,bd,bo,bsdo->b", *drawn, replicates) / point.size, level)
    names = tuple(n for n, size in zip(FACTORS, point.shape, strict=True) if size > 1)
    return Effect(float(point.mean()), low, high, point.shape[0] * point.shape[1], (*names, "images"), ())


def weighted_metrics(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The image metrics of B resamples at once, each (B,) float64; image j is `counts[b, j]` times in b.

    `scores`: (N,); `labels`: (N,) bool; `counts`: (B, N) integers with at least one image of each class in
    every row.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    ordered = np.asarray(scores)[order]
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])  # last image of each run of equal scores
    counts = counts[:, order]
    tp = np.cumsum(counts * labels[order], axis=1)[:, ends].astype(np.float64)  # (B, distinct scores)
    both = np.cumsum(counts, axis=1)[:, ends].astype(np.float64)
    fp = both - tp
    positives, negatives = tp[:, -1], fp[:, -1]
    new = np.diff(tp, axis=1, prepend=0)
    # Summed in pairs of neighbouring thresholds: twice the area.
    twice_fp = fp.copy()
    twice_fp[:, 1:] += fp[:, :-1]
    precision = tp / np.maximum(both, 1)
    ap = np.einsum("bk,bk->b", new, precision) / positives
    # Images drawn zero times leave empty thresholds at the top; there the curve is still at (0, 1).
    before = np.ones_like(precision)
    before[:, 1:] = np.where(both[:, :-1] == 0, 1.0, precision[:, :-1])
    return {
        "AU-ROC": 1 - np.einsum("bk,bk->b", new, twice_fp) / (2 * positives * negatives),
        "AU-PR": (ap + np.einsum("bk,bk->b", new, before) / positives) / 2,
        "AP": ap,
        "F1-max": (2 * tp / (both + positives[:, None])).max(axis=1),
    }


def _axes(values: Mapping[Key, object]) -> tuple[list[int], list[int], list[str]]:
    if not values:
        raise ValueError("nothing to aggregate: no (seed, draw, object) given")
    seeds, draws, objects = (sorted({key[i] for key in values}) for i in range(3))
    for key in ((s, d, o) for s in seeds for d in draws for o in objects):
        if key not in values:
            raise ValueError(
                f"cannot aggregate: no value for (seed, draw, object) {key}; run it, or leave out its level"
            )
    return seeds, draws, objects


def _grid(values: Mapping[Key, float | None]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(seeds, draws, objects defined in every run) float64, and the objects left out."""
    seeds, draws, objects = _axes(values)
    for key, value in values.items():
        if value is not None and np.isnan(value):
            raise ValueError(f"the value of (seed, draw, object) {key} is NaN; an undefined value is None")
    missing = tuple(o for o in objects if any(values[s, d, o] is None for s in seeds for d in draws))
    kept = [o for o in objects if o not in missing]
    grid = np.array([[[values[s, d, o] for o in kept] for d in draws] for s in seeds], np.float64)
    return grid.reshape(len(seeds), len(draws), len(kept)), missing


def _counts(rng: np.random.Generator, resamples: int, size: int) -> np.ndarray:
    """(resamples, size): how often each level is drawn when `size` of them are drawn with replacement."""
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples)


def _interval(replicates: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
