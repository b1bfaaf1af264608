"""One descending threshold sweep, from which every threshold metric is read.

Lowering the threshold past a score that only negatives hold moves no curve upwards: true positives stay, so
recall, the true positive rate and the per-region overlap change at positive scores alone. It is therefore
enough to know, at each distinct positive score, how many negatives lie above it and how many lie above or at
it (method: ours; it is the exact counterpart of a binned histogram).
"""

from dataclasses import dataclass

import numpy as np

NO_POSITIVES = "undefined: no positives, one class only"
NO_NEGATIVES = "undefined: no negatives, one class only"


@dataclass(frozen=True)
class Sweep:
    """The operating points of all thresholds, one entry a distinct positive score, scores descending.

    With k distinct positive scores v_1 > ... > v_k, all arrays have shape (k,).
    """

    scores: np.ndarray
    """v_i, float32 or float64."""
    true_positives: np.ndarray
    """int64, positives with score >= v_i."""
    false_above: np.ndarray
    """int64, negatives with score > v_i."""
    false_from: np.ndarray
    """int64, negatives with score >= v_i."""
    positives: int
    negatives: int
    region_overlap: np.ndarray | None = None
    """float64 in (0, 1], mean over regions of their share with score >= v_i; None if not asked for."""


def sweep_scores(scores: np.ndarray, labels: np.ndarray) -> Sweep:
    """Sweeps over scores held in memory by sorting both classes.

    `scores`: (N,) floating, no NaN; `labels`: (N,) bool, True = anomaly.
    """
    positives = np.sort(scores[labels])[::-1]
    negatives = np.sort(scores[~labels])
    last = (
        np.flatnonzero(np.r_[positives[1:] != positives[:-1], True]) if len(positives) else np.empty(0, int)
    )
    distinct = positives[last]
    return Sweep(
        scores=distinct,
        true_positives=(last + 1).astype(np.int64),
        false_above=len(negatives) - np.searchsorted(negatives, distinct, side="right"),
        false_from=len(negatives) - np.searchsorted(negatives, distinct, side="left"),
        positives=len(positives),
        negatives=len(negatives),
    )


def metrics_of(sweep: Sweep, *, fpr_limit: float = 0.3) -> dict[str, float | str | None]:
    """AU-ROC, AU-PR, AP and F1-max of a sweep, and AU-PRO where it has regions; each in [0, 1], float64.

    One class only: every value is None and the key `note` says which class is missing.
    """
    names = ["AU-ROC", "AU-PR", "AP", "F1-max"] + (["AU-PRO"] if sweep.region_overlap is not None else [])
    if not sweep.positives or not sweep.negatives:
        return dict.fromkeys(names) | {"note": NO_NEGATIVES if sweep.positives else NO_POSITIVES}
    values = [au_roc(sweep), au_pr(sweep), average_precision(sweep), f1_max(sweep)]
    if sweep.region_overlap is not None:
        values.append(au_pro(sweep, fpr_limit))
    return dict(zip(names, values, strict=True))


def au_roc(sweep: Sweep) -> float:
    """Area under the ROC curve: P(positive > negative) + P(equal) / 2 (Mann-Whitney), from integer counts."""
    # Python integers: the sum reaches 2 * positives * negatives, and nothing is rounded before the division.
    new = np.diff(sweep.true_positives, prepend=0)
    beaten_by = int(np.dot(new, sweep.false_above)) + int(np.dot(new, sweep.false_from))
    pairs = sweep.positives * sweep.negatives
    return (2 * pairs - beaten_by) / (2 * pairs)


def au_pr(sweep: Sweep) -> float:
    """Trapezoid under the precision-recall curve, with its point (recall 0, precision 1).

    This is VisA's AU-PR: sklearn.metrics.auc(recall, precision) of precision_recall_curve (spot-diff,
    utils/metrics.py).
    """
    before, at = precision_steps(sweep)
    new = np.diff(sweep.true_positives, prepend=0)
    return float(np.dot(new, before + at) / (2 * sweep.positives))


def average_precision(sweep: Sweep) -> float:
    """AP = sum of (R_i - R_{i-1}) P_i, as sklearn.metrics.average_precision_score."""
    _, at = precision_steps(sweep)
    return float(np.dot(np.diff(sweep.true_positives, prepend=0), at) / sweep.positives)


def f1_max(sweep: Sweep) -> float:
    """The largest F1 = 2 TP / (2 TP + FP + FN) over all thresholds; it is always met at a positive score."""
    tp = sweep.true_positives
    return float(np.max(2 * tp / (tp + sweep.false_from + sweep.positives)))


def au_pro(sweep: Sweep, fpr_limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to `fpr_limit` of all negatives, divided by `fpr_limit`.

    The curve is linear between neighbouring thresholds and cut by interpolation at the limit (Bergmann et
    al., MVTec AD, IJCV 2021, section 4.3). Raises ValueError unless 0 < `fpr_limit` <= 1.
    """
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit must lie in (0, 1], got {fpr_limit}")
    fpr, overlap = pro_points(sweep)
    inside = fpr <= fpr_limit
    stop = int(np.count_nonzero(inside))
    x, y = fpr[:stop], overlap[:stop]
    if stop < len(fpr):
        slope = (overlap[stop] - y[-1]) / (fpr[stop] - x[-1])
        x, y = np.r_[x, fpr_limit], np.r_[y, y[-1] + slope * (fpr_limit - x[-1])]
    return float(np.trapezoid(y, x) / fpr_limit)


def precision_steps(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """Precision just before and at each positive score, both (k,): the two ends of each rise in recall."""
    before_tp = np.r_[0, sweep.true_positives[:-1]]
    predicted = before_tp + sweep.false_above
    # Nothing predicted yet: the curve's own first point, precision 1.
    before = np.where(predicted > 0, before_tp / np.maximum(predicted, 1), 1.0)
    return before, sweep.true_positives / (sweep.true_positives + sweep.false_from)


def roc_points(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """(fpr, tpr) of every corner of the ROC curve, from (0, 0) to (1, 1); each (2k + 2,)."""
    return _rising(sweep, sweep.true_positives / sweep.positives)


def pro_points(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """(fpr, mean per-region overlap) of every corner of the PRO curve, as `roc_points`."""
    return _rising(sweep, sweep.region_overlap)


def pr_points(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """(recall, precision) of every corner of the precision-recall curve, from recall 0 to 1; each (2k + 1,).

    Starts at (0, 1), sklearn's convention. Points below the last positive score (recall 1, falling
    precision) are left out.
    """
    before, at = precision_steps(sweep)
    recall = sweep.true_positives / sweep.positives
    x = np.r_[0.0, np.column_stack([np.r_[0.0, recall[:-1]], recall]).ravel()]
    return x, np.r_[1.0, np.column_stack([before, at]).ravel()]


def _rising(sweep: Sweep, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.column_stack([sweep.false_above, sweep.false_from]).ravel() / sweep.negatives
    before_and_at = np.column_stack([np.r_[0.0, y[:-1]], y]).ravel()
    return np.r_[0.0, x, 1.0], np.r_[0.0, before_and_at, 1.0]
