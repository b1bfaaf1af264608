"""The points of the curves, and the areas under them, of a sweep small enough to do by hand."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from spd.metrics.sweep import Sweep, au_pro, au_roc, pr_points, pro_points, roc_points, sweep_scores


def random_case(seed, n=80, decimals=1):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.3
    labels[:2] = True, False
    return (rng.normal(size=n) + labels).round(decimals).astype(np.float32), labels


def on_curve(x, y, curve_x, curve_y):
    """True where each point lies on the polyline (curve_x, curve_y)."""
    a = np.column_stack([curve_x[:-1], curve_y[:-1]])
    b = np.column_stack([curve_x[1:], curve_y[1:]])
    p = np.column_stack([x, y])[:, None]
    along = b - a
    length = np.maximum((along**2).sum(-1), 1e-300)
    share = np.clip(((p - a) * along).sum(-1) / length, 0, 1)
    return np.hypot(*np.moveaxis(p - a - share[..., None] * along, -1, 0)).min(axis=1) < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_every_point_of_sklearns_curves_lies_on_ours(seed):
    scores, labels = random_case(seed)
    sweep = sweep_scores(scores, labels)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert on_curve(fpr, tpr, *roc_points(sweep)).all()
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    kept = np.r_[
        thresholds >= sweep.scores[-1], True
    ]  # below the last positive precision only falls, at recall 1
    assert on_curve(recall[kept], precision[kept], *pr_points(sweep)).all()
    assert np.trapezoid(roc_points(sweep)[1], roc_points(sweep)[0]) == pytest.approx(au_roc(sweep), abs=1e-12)


def test_counts_of_a_small_case():
    sweep = sweep_scores(
        np.array([5, 5, 4, 3, 3, 1], float), np.array([True, False, False, True, True, False])
    )
    assert sweep.scores.tolist() == [5, 3]
    assert sweep.true_positives.tolist() == [1, 3]
    assert sweep.false_above.tolist() == [0, 2]
    assert sweep.false_from.tolist() == [1, 2]


def test_pro_area_is_cut_at_the_limit():
    """Overlap 1/2 at first, rising to 1 between FPR 0.2 and 0.4: at the limit 0.3 it is 3/4."""
    sweep = Sweep(
        scores=np.array([2.0, 1.0]),
        true_positives=np.array([1, 2]),
        false_above=np.array([0, 2]),
        false_from=np.array([0, 4]),
        positives=2,
        negatives=10,
        region_overlap=np.array([0.5, 1.0]),
    )
    assert au_pro(sweep, 0.3) == pytest.approx((0.2 * 0.5 + 0.1 * (0.5 + 0.75) / 2) / 0.3)
    assert au_pro(sweep, 0.2) == pytest.approx(0.5)
    assert au_pro(sweep, 1.0) == pytest.approx(0.2 * 0.5 + 0.2 * 0.75 + 0.6)
    with pytest.raises(ValueError, match="fpr_limit must lie"):
        au_pro(sweep, 0.0)
    x, y = pro_points(sweep)
    assert x.tolist() == [0, 0, 0, 0.2, 0.4, 1] and y.tolist() == [0, 0, 0.5, 0.5, 1, 1]
