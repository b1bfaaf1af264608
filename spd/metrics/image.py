"""Image-level metrics from one anomaly score an image."""

from collections.abc import Sequence

import numpy as np

from spd.metrics.sweep import Sweep, metrics_of, sweep_scores


def image_metrics(
    scores: np.ndarray, labels: np.ndarray, *, names: Sequence[str] | None = None
) -> dict[str, float | str | None]:
    """AU-ROC, AU-PR (trapezoid), AP and F1-max of image scores, exact.

    `scores`: (N,) floating, larger = more anomalous, any range, +-inf allowed; `labels`: (N,) bool, True =
    anomaly; `names`: N image names for error messages. Returns values in [0, 1] as Python floats. With one
    class only every value is None and `note` gives the reason.

    Raises ValueError for NaN (naming the image), unequal lengths, or labels that are not boolean.
    """
    return metrics_of(image_sweep(scores, labels, names=names))


def image_sweep(scores: np.ndarray, labels: np.ndarray, *, names: Sequence[str] | None = None) -> Sweep:
    """The sweep behind `image_metrics`, for its curves; arguments and errors as there."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores and labels must both be (N,), got {scores.shape} and {labels.shape}")
    if not np.issubdtype(scores.dtype, np.floating):
        raise ValueError(f"scores must be floating point, got {scores.dtype}")
    if labels.dtype != np.bool_:
        raise ValueError(f"labels must be bool (True = anomaly), got {labels.dtype}; use labels == 'anomaly'")
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        first = int(missing[0]) if names is None else names[missing[0]]
        raise ValueError(f"the score of image {first} is NaN ({len(missing)} in all)")
    return sweep_scores(scores, labels)
