"""Metrics per defect type equal those of the subset chosen by hand."""

import numpy as np
import pytest

from spd.metrics.by_defect import image_metrics_by_defect, pixel_metrics_by_defect
from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics

LABELS = np.array([False, True, False, True, True])
DEFECTS = ["", "crack", "", "hole, crack", "hole"]
SUBSETS = {"crack": [0, 1, 2, 3], "hole": [0, 2, 3, 4]}


def test_image_metrics_of_each_type():
    scores = np.array([0.1, 0.9, 0.5, 0.2, 0.3], np.float32)
    ours = image_metrics_by_defect(scores, LABELS, DEFECTS)
    assert list(ours) == ["crack", "hole"]
    for name, part in SUBSETS.items():
        assert ours[name] == image_metrics(scores[part], LABELS[part])
    assert ours["crack"] != ours["hole"]


def test_pixel_metrics_of_each_type():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(5, 8, 8)).astype(np.float32)
    masks = (rng.random((5, 8, 8)) < 0.2).astype(np.uint8) * LABELS[:, None, None].astype(np.uint8)
    ours = pixel_metrics_by_defect(maps, masks, LABELS, DEFECTS)
    for name, part in SUBSETS.items():
        assert ours[name] == pixel_metrics(maps[part], masks[part])
    without = pixel_metrics_by_defect(list(maps), list(masks), LABELS, DEFECTS, pro=False)
    assert "AU-PRO" not in without["hole"]


def test_errors_name_the_image():
    scores = np.array([0.1, 0.9, 0.5, np.nan, 0.3], np.float32)
    with pytest.raises(ValueError, match="image d is NaN"):
        image_metrics_by_defect(scores, LABELS, DEFECTS, names="abcde")
    with pytest.raises(ValueError, match="score of image 3 is NaN"):
        image_metrics_by_defect(scores, LABELS, DEFECTS)
    with pytest.raises(ValueError, match="image 4 is an anomaly but names no defect type"):
        image_metrics_by_defect(scores, LABELS, [*DEFECTS[:4], " "])
    with pytest.raises(ValueError, match="equally long"):
        image_metrics_by_defect(scores, LABELS, DEFECTS[:4])


def test_no_anomaly_no_type():
    assert image_metrics_by_defect(np.zeros(2), np.zeros(2, bool), ["", ""]) == {}
