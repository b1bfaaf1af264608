"""Means, deviations and bootstrap intervals against closed forms and repeated images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spd.metrics.aggregate import (
    PairedScores,
    bootstrap_image_effects,
    paired_effect,
    summarise,
    weighted_metrics,
)
from spd.metrics.image import image_metrics

METRICS = ["AU-ROC", "AU-PR", "AP", "F1-max"]


def grid(values):
    """`{(seed, draw, object): value}` of an array (seeds, draws, objects)."""
    return {(s, d, f"object{o}"): float(v) for (s, d, o), v in np.ndenumerate(np.asarray(values, float))}


def test_mean_over_objects_of_one_run_is_unweighted():
    assert summarise({(0, 0, "a"): 0.5, (0, 0, "b"): 1.0}) == (0.75, None, 1, ())
    assert summarise({(0, 0, "a"): 0.5, (0, 0, "b"): None}) == (0.5, None, 1, ("b",))
    assert summarise({(0, 0, "a"): None}) == (None, None, 1, ("a",))


def test_summary_over_seeds_and_draws():
    values = np.random.default_rng(0).random((2, 3, 4))
    summary = summarise(grid(values))
    runs = values.mean(axis=2)
    assert summary.value == pytest.approx(runs.mean(), abs=1e-15)
    assert summary.std == pytest.approx(np.std(runs, ddof=1), abs=1e-15)
    assert summary.n == 6


def test_an_object_undefined_in_one_run_leaves_all_runs():
    values = grid([[[1.0, 5.0], [3.0, 7.0]]])
    values[0, 1, "object1"] = None
    assert summarise(values) == (2.0, pytest.approx(np.sqrt(2)), 2, ("object1",))
    effect = paired_effect(grid([[[1.0, 5.0], [3.0, 7.0]]]), values)
    assert effect.value == 0 and effect.missing == ("object1",)


def test_holes_in_the_grid_are_named():
    values = grid(np.zeros((2, 1, 2)))
    del values[1, 0, "object1"]
    with pytest.raises(ValueError, match=r"no value for .* \(1, 0, 'object1'\)"):
        summarise(values)
    with pytest.raises(ValueError, match=r"\(1, 0, 'object1'\) is present on one side only"):
        paired_effect(values, grid(np.zeros((2, 1, 2))))
    with pytest.raises(ValueError, match=r"\(0, 0, 'a'\) is NaN; an undefined value is None"):
        summarise({(0, 0, "a"): float("nan")})
    with pytest.raises(ValueError, match="nothing to aggregate"):
        summarise({})


def test_effect_pairs_by_key_not_by_order():
    without = grid(np.random.default_rng(1).random((2, 2, 3)))
    with_spd = dict(reversed([(key, value + 0.25) for key, value in without.items()]))
    effect = paired_effect(with_spd, without)
    assert effect[:3] == pytest.approx((0.25, 0.25, 0.25))  # constant differences have no spread
    assert effect.n == 4 and effect.resampled == ("seeds", "draws", "objects")


def test_interval_of_two_objects_in_closed_form():
    """Two of two objects: the mean of (1, 1), (1, 3) or (3, 3), with probability 1/4, 1/2, 1/4."""
    zero, one = grid([[[0.0, 0.0]]]), grid([[[1.0, 3.0]]])
    assert paired_effect(one, zero, level=0.95) == (2.0, 1.0, 3.0, 1, ("objects",), ())
    assert paired_effect(one, zero, level=0.4)[1:3] == (2.0, 2.0)


def test_crossed_factors_are_resampled_independently():
    """Effects that depend on the seed alone: objects must not narrow the interval, however many there are."""
    by_seed = np.array([0.0, 1.0])[:, None, None] * np.ones((2, 1, 50))
    effect = paired_effect(grid(by_seed), grid(np.zeros_like(by_seed)))
    assert effect[:3] == (0.5, 0.0, 1.0)


def test_interval_covers_the_true_mean():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        effect = paired_effect(
            grid(rng.normal(0.3, 1, (1, 1, 25))), grid(np.zeros((1, 1, 25))), resamples=400
        )
        covered += effect.ci_low <= 0.3 <= effect.ci_high
    assert 0.88 <= covered / 200 <= 0.99


def test_nothing_to_resample_gives_no_interval():
    assert paired_effect(grid([[[0.5]]]), grid([[[0.25]]])) == (0.25, None, None, 1, (), ())
    undefined = {(0, 0, "a"): None}
    assert paired_effect(undefined, undefined).value is None


def test_same_seed_same_interval():
    a, b = grid(np.random.default_rng(3).random((3, 2, 5))), grid(np.random.default_rng(4).random((3, 2, 5)))
    assert paired_effect(a, b) == paired_effect(a, b)
    assert paired_effect(a, b, seed=1) != paired_effect(a, b)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 2))
def test_weighted_metrics_equal_the_metric_of_repeated_images(seed, decimals):
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 25)
    labels = np.arange(n) < rng.integers(1, n)
    scores = rng.normal(size=n).round(decimals).astype(np.float32)
    counts = rng.integers(0, 4, (3, n))
    counts[:, 0] += 1  # a positive
    counts[:, -1] += 1  # and a negative
    for metric in METRICS:
        ours = weighted_metrics(scores, labels, counts)[metric]
        for row, value in zip(counts, ours, strict=True):
            assert value == pytest.approx(
                image_metrics(np.repeat(scores, row), np.repeat(labels, row))[metric], abs=1e-12
            )


def scored(seed, gain, n=60):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) < n // 2
    without = rng.normal(size=n) + labels
    return PairedScores(labels, without.astype(np.float32), (without + gain * labels).astype(np.float32))


@pytest.mark.parametrize("metric", METRICS)
def test_image_bootstrap(metric):
    scores = {(s, 0, o): scored(ord(o), gain=0.5 + s) for s in range(2) for o in "ab"}
    every = bootstrap_image_effects(scores, resamples=300)
    by_hand = {
        key: image_metrics(p.with_spd, p.labels)[metric] - image_metrics(p.without, p.labels)[metric]
        for key, p in scores.items()
    }
    effect, objects = every[metric]
    assert effect.value == pytest.approx(np.mean([*by_hand.values()]), abs=1e-12)
    assert effect.ci_low < effect.value < effect.ci_high
    assert effect.resampled == ("seeds", "objects", "images") and effect.n == 2
    for name, one in objects.items():
        assert one.value == pytest.approx((by_hand[0, 0, name] + by_hand[1, 0, name]) / 2, abs=1e-12)
        assert one.resampled == ("seeds", "images") and one.ci_low < one.value < one.ci_high
    assert every == bootstrap_image_effects(scores, resamples=300)
    same = {key: PairedScores(p.labels, p.without, p.without) for key, p in scores.items()}
    # Paired: the same images on both sides.
    assert bootstrap_image_effects(same, resamples=50)[metric].mean[:3] == (0, 0, 0)


def test_image_bootstrap_spreads_as_the_sampling_does():
    """One object and run: its interval is about as wide as the spread over fresh samples of images."""

    def difference(pair):
        return (
            image_metrics(pair.with_spd, pair.labels)["AU-ROC"]
            - image_metrics(pair.without, pair.labels)["AU-ROC"]
        )

    spread = np.std([difference(scored(seed, 0.5)) for seed in range(300)])
    effect, objects = bootstrap_image_effects({(0, 0, "a"): scored(0, 0.5)}, resamples=500)["AU-ROC"]
    assert effect.resampled == ("images",) and effect == objects["a"]
    assert 0.5 < (effect.ci_high - effect.ci_low) / (2 * 1.96 * spread) < 2


def test_image_bootstrap_errors():
    pair = scored(0, 1)
    one_class = PairedScores(np.ones(60, bool), pair.without, pair.with_spd)
    with pytest.raises(ValueError, match="object a has test images of one class only"):
        bootstrap_image_effects({(0, 0, "a"): one_class})
    broken = PairedScores(pair.labels, pair.without, pair.with_spd * np.nan)
    with pytest.raises(ValueError, match="object a, seed 3, draw 0: an image score is NaN"):
        bootstrap_image_effects({(3, 0, "a"): broken})
    other = PairedScores(~pair.labels, pair.without, pair.with_spd)
    with pytest.raises(ValueError, match="do not share their test images"):
        bootstrap_image_effects({(0, 0, "a"): pair, (0, 1, "a"): other})
