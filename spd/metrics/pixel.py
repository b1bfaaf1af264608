"""Pixel-level metrics from anomaly maps and masks."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from spd.metrics.sweep import Sweep, metrics_of, sweep_scores


def pixel_metrics(
    maps: np.ndarray | Iterable[np.ndarray],
    masks: np.ndarray | Iterable[np.ndarray],
    *,
    pro: bool = True,
    fpr_limit: float = 0.3,
    names: Sequence[str] | None = None,
) -> dict[str, float | str | None]:
    """AU-ROC, AU-PR (trapezoid), AP, F1-max and (with `pro`) AU-PRO over all pixels of all images, exact.

    `maps`: (N, H, W) float32, or a re-iterable of float32 (H, W) or (n, H, W) arrays; images may differ in size;
    any range, +-inf allowed. `masks`: uint8 {0, 1} or bool, arranged as `maps`. Both are walked at most twice.
    `names`: one name an image, for error messages.
    """
    return metrics_of(pixel_sweep(maps, masks, pro=pro, names=names), fpr_limit=fpr_limit)


def pixel_sweep(maps, masks, *, pro: bool = True, names: Sequence[str] | None = None) -> Sweep:
    """The sweep behind `pixel_metrics`, for its curves (spd.metrics.curves); arguments and errors as there."""
    scores, labels, shares = [], [], []
    for chunk, chunk_masks in zip(maps, masks, strict=True):
        for one, mask in zip(
            np.atleast_3d(chunk.T).T, np.atleast_3d(np.asarray(chunk_masks).T).T, strict=True
        ):
            if np.isnan(one).any():
                index = len(scores)
                raise ValueError(f"the map of image {names[index] if names is not None else index} holds NaN")
            mask = mask.astype(bool)
            scores.append(one.ravel())
            labels.append(mask.ravel())
            _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
            shares.append(1 / stats[regions[mask], cv2.CC_STAT_AREA])
    scores, labels = np.concatenate(scores), np.concatenate(labels)
    sweep = sweep_scores(scores, labels)
    if not pro:
        return sweep
    shares = np.concatenate(shares)
    order = np.argsort(-scores[labels], kind="stable")
    overlap = np.cumsum(shares[order]) / max(round(shares.sum()), 1)
    return Sweep(**{**vars(sweep), "region_overlap": overlap[sweep.true_positives - 1]})
