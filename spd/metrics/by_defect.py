"""The same metrics per defect type: the anomalies of one type against all normal images."""

from collections.abc import Sequence

import numpy as np

from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics


def image_metrics_by_defect(
    scores: np.ndarray, labels: np.ndarray, defects: Sequence[str], *, names: Sequence[str] | None = None
) -> dict[str, dict]:
    """`{defect type: image_metrics}`, types sorted; `defects`: N strings, read for anomalies only.

    Other arguments and errors as spd.metrics.image.image_metrics; also ValueError for an anomaly without a
    type.
    """
    labels = np.asarray(labels)
    result = {}
    for defect, of_type in _members(labels, defects).items():
        part = np.flatnonzero(of_type | ~labels)
        result[defect] = image_metrics(np.asarray(scores)[part], labels[part], names=_pick(names, part))
    return result


def pixel_metrics_by_defect(
    maps: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    labels: np.ndarray,
    defects: Sequence[str],
    *,
    pro: bool = True,
    names: Sequence[str] | None = None,
) -> dict[str, dict]:
    """`{defect type: pixel_metrics}` over the images of the type and all normal images.

    `maps`, `masks`: (N, H, W) arrays or sequences of N (H, W) arrays; `labels`: (N,) bool; `defects`: N
    strings. An image of several types counts, with its whole mask, for each of them: masks do not tell the
    types apart.
    """
    labels = np.asarray(labels)
    result = {}
    for defect, of_type in _members(labels, defects).items():
        part = np.flatnonzero(of_type | ~labels)
        result[defect] = pixel_metrics(
            [maps[i] for i in part], [masks[i] for i in part], pro=pro, names=_pick(names, part)
        )
    return result


def defect_types(defect: str) -> list[str]:
    """The types an image's `defect` column names: VisA lists several, separated by commas."""
    return [name.strip() for name in defect.split(",") if name.strip()]


def _members(labels: np.ndarray, defects: Sequence[str]) -> dict[str, np.ndarray]:
    """`{type: (N,) bool, True where an anomaly shows it}`, sorted by type."""
    if len(labels) != len(defects):
        raise ValueError(f"labels and defects must be equally long, got {len(labels)} and {len(defects)}")
    members: dict[str, np.ndarray] = {}
    for index in np.flatnonzero(labels):
        types = defect_types(defects[index])
        if not types:
            raise ValueError(
                f"image {index} is an anomaly but names no defect type; give one, e.g. 'anomaly'"
            )
        for name in types:
            members.setdefault(name, np.zeros(len(labels), bool))[index] = True
    return dict(sorted(members.items()))


def _pick(names: Sequence[str] | None, part: np.ndarray) -> Sequence[str]:
    return [names[i] if names is not None else str(i) for i in part]
