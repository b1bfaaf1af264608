"""Pixel metrics against scikit-learn, VisA's own variant and a brute-force per-region overlap."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from spd.metrics import kernels, pixel
from spd.metrics.pixel import pixel_metrics, pixel_sweep


def made_maps(n=6, size=48, seed=0, decimals=None):
    """Smooth maps whose every second image holds discs of higher score: (n, size, size) float32 and uint8."""
    rng = np.random.default_rng(seed)
    maps = ndimage.gaussian_filter(rng.normal(size=(n, size, size)), (0, 2, 2)) * 5 + 20
    masks = np.zeros((n, size, size), np.uint8)
    y, x = np.mgrid[:size, :size]
    for i in range(1, n, 2):
        for _ in range(2):
            cy, cx, r = rng.uniform(4, size - 4, 3) * [1, 1, 0.15]
            masks[i] |= ((y - cy) ** 2 + (x - cx) ** 2 < r**2 + 2).astype(np.uint8)
        maps[i] += ndimage.gaussian_filter(masks[i].astype(float), 2) * 2
    if decimals is not None:
        maps = maps.round(decimals)
    return maps.astype(np.float32), masks


def sklearn_metrics(maps, masks):
    truth, scores = masks.ravel().astype(bool), maps.ravel()
    precision, recall, _ = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return {
        "AU-ROC": roc_auc_score(truth, scores),
        "AU-PR": auc(recall, precision),
        "AP": average_precision_score(truth, scores),
        "F1-max": f1.max(),
    }


def brute_force_pro(maps, masks, limit=0.3):
    """All thresholds, one overlap a region by scipy's labelling, interpolated at the limit."""
    regions = []
    for one, mask in zip(maps, masks, strict=True):
        labelled, n = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [one[labelled == r] for r in range(1, n + 1)]
    normal = maps[masks == 0]
    x, y = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        x.append(np.mean(normal >= threshold))
        y.append(np.mean([np.mean(region >= threshold) for region in regions]))
    x, y = np.array(x), np.array(y)
    area = 0.0
    for i in range(1, len(x)):
        a, b = x[i - 1], min(x[i], limit)
        if a >= limit or b <= a:
            continue
        at_b = y[i - 1] + (y[i] - y[i - 1]) * (b - a) / (x[i] - a)
        area += (b - a) * (y[i - 1] + at_b) / 2
    return area / limit


def visa_metrics(maps, masks):
    """spot-diff's compute_localization_metrics as described: 202 thresholds, strict >, 4 digits."""
    scores, truth = maps.ravel().astype(np.float64), masks.ravel() == 1
    positive = scores[truth]
    thresholds = np.r_[
        np.percentile(positive, np.linspace(0, 100, 100)),
        np.linspace(positive.min(), positive.max(), 100),
        scores.min() - 1e-8,
        scores.max() + 1e-8,
    ]
    tpr, fpr, precision = [], [], []
    for threshold in np.sort(thresholds):
        predicted = scores > threshold
        tp = np.sum(predicted & truth)
        tpr.append(tp / truth.sum())
        fpr.append((predicted.sum() - tp) / (~truth).sum())
        precision.append(tp / predicted.sum() if predicted.any() else 1.0)
    return {"AU-ROC": round(auc(fpr, tpr), 4), "AU-PR": round(auc(tpr, precision), 4)}


def assert_close(ours, theirs, tolerance=1e-12):
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_sklearn_and_brute_force(decimals, seed):
    maps, masks = made_maps(seed=seed, decimals=decimals)
    ours = pixel_metrics(maps, masks)
    assert_close(ours, sklearn_metrics(maps, masks))
    if decimals is not None:  # all thresholds: too many of them otherwise
        assert ours["AU-PRO"] == pytest.approx(brute_force_pro(maps, masks), abs=1e-12)


def test_pro_equals_brute_force_without_ties():
    maps, masks = made_maps(n=4, size=20, seed=5)
    for limit in (0.05, 0.3, 1.0):
        ours = pixel_metrics(maps, masks, fpr_limit=limit)["AU-PRO"]
        assert ours == pytest.approx(brute_force_pro(maps, masks, limit), abs=1e-12)


def test_close_to_visas_202_thresholds():
    maps, masks = made_maps(n=40, size=128, seed=3)
    assert_close(pixel_metrics(maps, masks), visa_metrics(maps, masks), tolerance=2e-4)


# Few values, so that ties, zeros of both signs, neighbours, subnormals and infinities all meet each other.
SCORES = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-38,
    1.0,
    np.nextafter(np.float32(1), np.float32(2)),
    -1.0,
    3e38,
    np.inf,
    -np.inf,
]
SMALL = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float32, (n, 5, 6), elements=st.sampled_from(SCORES)),
        hnp.arrays(np.uint8, (n, 5, 6), elements=st.integers(0, 1)),
    )
)


@settings(max_examples=150, deadline=None)
@given(SMALL)
@example((np.zeros((1, 2, 2), np.float32), np.array([[[1, 0], [0, 1]]], np.uint8)))
def test_extreme_values_and_ties(case):
    maps, masks = case
    ours = pixel_metrics(maps, masks)
    if masks.all() or not masks.any():
        assert set(ours.values()) == {None, ours["note"]} and "one class only" in ours["note"]
        return
    # Ranks order scores as the numbers do and are finite, as scikit-learn demands.
    ranks = np.unique(maps, return_inverse=True)[1].reshape(maps.shape).astype(np.float32)
    assert_close(ours, sklearn_metrics(ranks, masks))
    assert ours["AU-PRO"] == pytest.approx(brute_force_pro(ranks, masks), abs=1e-12)
    # A strictly increasing transform changes nothing.
    assert pixel_metrics(ranks * 3 - 7, masks) == ours


# Neighbouring float32 values, which share a counter unless it is the finest.
NEIGHBOURS = st.integers(0x3F7FFFF8, 0x3F800008).map(lambda bits: np.uint32(bits).view(np.float32))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (3, 8, 8), elements=st.one_of(NEIGHBOURS, st.floats(width=32, allow_nan=False))),
    hnp.arrays(np.uint8, (3, 8, 8), elements=st.integers(0, 1)),
    st.sampled_from([(1, 0), (16, 64), (16, 1 << 17), (1 << 14, 1 << 20), (1 << 15, 1 << 20)]),
)
def test_any_float32_at_any_resolution(maps, masks, resolution):
    """Any finite or infinite scores, whether most pixels must be looked up or hardly any."""
    masks[0, 0, :2] = [0, 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel, "COUNTERS_PER_SCORE", resolution[0])
        patch.setattr(pixel, "MOST_COUNTERS", (1 << 16) + resolution[1])
        coarse = pixel_sweep(maps, masks)
    for field, value in vars(pixel_sweep(maps, masks)).items():
        assert np.array_equal(getattr(coarse, field), value), field
    negatives, positives = maps[masks == 0], maps[masks == 1]
    assert np.array_equal(coarse.scores, np.unique(positives)[::-1])
    for value, above, from_, tp in zip(
        coarse.scores, coarse.false_above, coarse.false_from, coarse.true_positives, strict=True
    ):
        assert (above, from_, tp) == (
            (negatives > value).sum(),
            (negatives >= value).sum(),
            (positives >= value).sum(),
        )


def test_counters_are_emptied_before_they_overflow(monkeypatch):
    maps, masks = made_maps(seed=9, decimals=1)
    whole = pixel_metrics(maps, masks)
    monkeypatch.setattr(kernels, "COUNT_LIMIT", maps[0].size * 2)
    assert pixel_metrics(maps, masks) == whole


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 5))
def test_order_and_chunks_do_not_matter(random, decimals):
    maps, masks = made_maps(n=5, size=16, seed=decimals, decimals=decimals)
    whole = pixel_metrics(maps, masks)
    order = list(range(5))
    random.shuffle(order)
    cut = random.randint(0, 5)
    shuffled, shuffled_masks = maps[order], masks[order]
    chunks = [*shuffled[:cut], shuffled[cut:]]
    assert pixel_metrics(chunks, [shuffled_masks[:2], *shuffled_masks[2:].astype(bool)]) == whole


def test_images_of_differing_sizes():
    maps, masks = made_maps(n=4, size=32, seed=2, decimals=1)
    parts = [maps[0], maps[1][:, :20], maps[2][:9], maps[3].T]
    part_masks = [masks[0], masks[1][:, :20], masks[2][:9], masks[3].T]
    pooled = np.concatenate([p.ravel() for p in parts]), np.concatenate([p.ravel() for p in part_masks])
    assert_close(pixel_metrics(parts, part_masks), sklearn_metrics(*pooled))


def test_anomaly_with_an_empty_mask_counts_as_normal_pixels():
    maps, masks = made_maps(n=4, size=16)
    empty = masks.copy()
    empty[1] = 0
    assert_close(pixel_metrics(maps, empty), sklearn_metrics(maps, empty))


def test_all_positive_image_is_one_region():
    maps, masks = made_maps(n=4, size=16, decimals=1)
    masks[2] = 1
    assert pixel_metrics(maps, masks)["AU-PRO"] == pytest.approx(brute_force_pro(maps, masks), abs=1e-12)


def test_perfect_and_reversed_detector():
    masks = np.zeros((2, 10, 10), np.uint8)
    masks[1, 2:5, 2:5] = 1
    perfect = pixel_metrics(masks.astype(np.float32), masks)
    # Ties at both scores: the PRO curve is (0, 0) -> (0, 1) -> (1, 1).
    assert perfect == {"AU-ROC": 1.0, "AU-PR": 1.0, "AP": 1.0, "F1-max": 1.0, "AU-PRO": 1.0}
    worst = pixel_metrics(-masks.astype(np.float32), masks)
    assert worst["AU-ROC"] == 0 and worst["AU-PRO"] == 0
    assert worst["AP"] == pytest.approx(masks.mean())


def test_without_pro():
    maps, masks = made_maps()
    whole = pixel_metrics(maps, masks)
    del whole["AU-PRO"]
    assert pixel_metrics(maps, masks, pro=False) == whole


def test_roc_counts_equal_sklearns_curve():
    maps, masks = made_maps(decimals=1)
    sweep = pixel_sweep(maps, masks)
    fpr, tpr, thresholds = roc_curve(masks.ravel(), maps.ravel(), drop_intermediate=False)
    ours = dict(zip(sweep.scores, zip(sweep.false_from, sweep.true_positives, strict=True), strict=True))
    for x, y, threshold in zip(fpr, tpr, thresholds, strict=True):
        if threshold in ours:
            assert ours[threshold] == (round(x * sweep.negatives), round(y * sweep.positives))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda maps, masks: (np.where(np.arange(4)[:, None, None] == 2, np.nan, maps), masks),
            "image c holds NaN",
        ),
        (lambda maps, masks: (np.where(masks == 1, np.nan, maps), masks), "image b holds NaN"),
        (lambda maps, masks: (maps.astype(float), masks), "image a is float64; maps are float32"),
        (lambda maps, masks: (maps, masks * 255), "image b holds values other than 0 and 1"),
        (lambda maps, masks: (maps, masks.astype(int)), "mask of image a is int64"),
        (lambda maps, masks: (maps, masks[:, :-1]), r"mask of image a is \(15, 16\), its map \(16, 16\)"),
        (lambda maps, masks: (maps, masks[:-1]), "differ in number"),
        (lambda maps, masks: (iter(maps), masks), "maps can be walked once only"),
        (lambda maps, masks: (maps[None, None], masks), r"got \(1, 4, 16, 16\)"),
    ],
)
def test_bad_input_names_the_image(change, message):
    maps, masks = change(*made_maps(n=4, size=16))
    if maps is not None and isinstance(maps, np.ndarray) and np.isnan(maps).any():
        maps = maps.astype(np.float32)
    with pytest.raises(ValueError, match=message):
        pixel_metrics(maps, masks, names="abcd")
