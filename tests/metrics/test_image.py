"""Image metrics against scikit-learn and closed forms."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from spd.metrics.image import image_metrics

SCORES = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1e-45, 3e38]), st.floats(width=32, allow_nan=False))
CASES = st.integers(2, 60).flatmap(
    lambda n: st.tuples(hnp.arrays(np.float32, n, elements=SCORES), hnp.arrays(np.bool_, n))
)


@settings(max_examples=150, deadline=None)
@given(CASES)
def test_equals_sklearn(case):
    scores, labels = case
    assume(labels.any() and not labels.all())
    ours = image_metrics(scores, labels)
    assert all(type(value) is float for value in ours.values())
    ranks = np.unique(scores, return_inverse=True)[1]  # scikit-learn refuses infinities
    precision, recall, _ = precision_recall_curve(labels, ranks)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert ours["AU-ROC"] == pytest.approx(roc_auc_score(labels, ranks), abs=1e-12)
    assert ours["AP"] == pytest.approx(average_precision_score(labels, ranks), abs=1e-12)
    assert ours["AU-PR"] == pytest.approx(auc(recall, precision), abs=1e-12)
    assert ours["F1-max"] == pytest.approx(f1.max(), abs=1e-12)
    assert image_metrics(ranks.astype(np.float64) ** 3, labels) == ours  # strictly increasing transform
    order = np.random.default_rng(len(scores)).permutation(len(scores))
    assert image_metrics(scores[order], labels[order]) == ours


def test_closed_forms():
    # Descending: + - + -. Precision after each: 1, 1/2, 2/3, 1/2.
    ours = image_metrics(np.array([4.0, 3.0, 2.0, 1.0], np.float32), np.array([True, False, True, False]))
    assert ours["AU-ROC"] == 3 / 4
    assert ours["AP"] == pytest.approx((1 + 2 / 3) / 2)
    assert ours["AU-PR"] == pytest.approx((1 + 1) / 4 + (1 / 2 + 2 / 3) / 4)
    assert ours["F1-max"] == pytest.approx(4 / 5)


def test_all_scores_equal():
    labels = np.arange(10) < 3
    ours = image_metrics(np.zeros(10, np.float32), labels)
    # One threshold: the ROC curve is the diagonal, precision the prevalence; AU-PR starts at precision 1.
    assert ours["AU-ROC"] == 0.5
    assert ours["AP"] == pytest.approx(0.3)
    assert ours["AU-PR"] == pytest.approx((1 + 0.3) / 2)
    assert ours["F1-max"] == pytest.approx(2 * 3 / (2 * 3 + 7))


@pytest.mark.parametrize(("label", "missing"), [(True, "no negatives"), (False, "no positives")])
@pytest.mark.parametrize("n", [1, 5])
def test_one_class_only_is_none_with_a_reason(label, missing, n):
    ours = image_metrics(np.zeros(n, np.float32), np.full(n, label))
    assert missing in ours.pop("note")
    assert ours == dict.fromkeys(["AU-ROC", "AU-PR", "AP", "F1-max"])


def test_no_image_at_all():
    assert "no positives" in image_metrics(np.empty(0, np.float32), np.empty(0, bool))["note"]


def test_bad_input():
    labels = np.array([True, False])
    with pytest.raises(ValueError, match=r"score of image b\.png is NaN"):
        image_metrics(np.array([1, np.nan]), labels, names=["a.png", "b.png"])
    with pytest.raises(ValueError, match="score of image 0 is NaN"):
        image_metrics(np.array([np.nan, 1]), labels)
    with pytest.raises(ValueError, match="labels must be bool"):
        image_metrics(np.array([1.0, 2.0]), np.array([1, 0]))
    with pytest.raises(ValueError, match="floating point"):
        image_metrics(np.array([1, 2]), labels)
    with pytest.raises(ValueError, match=r"got \(3,\) and \(2,\)"):
        image_metrics(np.zeros(3), labels)
