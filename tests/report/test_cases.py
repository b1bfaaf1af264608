import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from spd.report.cases import _ranks, choose_cases, in_normal_units

ANOMALOUS = np.array([False, True, True, True, False])
NAMES = ["n0", "a1", "a2", "a3", "n4"]


def test_best_median_and_worst_by_hand():
    without = np.array([0.1, 0.2, 0.3, 0.4, 0.5])  # ranks 1 2 3 4 5
    with_spd = np.array([0.2, 0.9, 0.8, 0.1, 0.3])  # ranks 2 5 4 1 3: anomalies move +3, +1, -3
    found = choose_cases(without, with_spd, ANOMALOUS, NAMES)
    assert [(c.index, c.kind, c.shift) for c in found] == [
        (1, "best", 0.6), (2, "median", 0.2), (3, "worst", -0.6)
    ]  # fmt: skip


def test_the_scale_of_the_scores_does_not_matter():
    rng = np.random.default_rng(0)
    without, with_spd = rng.random(30), rng.random(30)
    anomalous, names = rng.random(30) < 0.5, [f"{i:02}" for i in range(30)]
    scaled = choose_cases(np.exp(without) * 100, with_spd**3, anomalous, names)
    assert scaled == choose_cases(without, with_spd, anomalous, names)


def test_equal_shifts_are_decided_by_name():
    same = np.zeros(5)
    assert [c.index for c in choose_cases(same, same, ANOMALOUS, NAMES)] == [1, 2, 3]
    turned = ["n0", "a3", "a2", "a1", "n4"]
    assert [c.index for c in choose_cases(same, same, ANOMALOUS, turned)] == [3, 2, 1]


@pytest.mark.parametrize(("anomalies", "kinds"), [(0, []), (1, ["best"]), (2, ["best", "worst"])])
def test_few_images(anomalies, kinds):
    anomalous = np.arange(4) < anomalies
    found = choose_cases(np.arange(4.0), np.arange(4.0)[::-1], anomalous, list("abcd"))
    assert [c.kind for c in found] == kinds


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="5, 4, 5, 5"):
        choose_cases(np.zeros(5), np.zeros(4), ANOMALOUS, NAMES)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=20))
def test_ranks_are_scipys(values):
    np.testing.assert_array_equal(_ranks(np.array(values)), rankdata(values))


def test_normal_units_look_at_normal_images_only():
    maps = np.stack([np.linspace(10, 20, 101).reshape(1, 101), np.full((1, 101), 50.0)])
    units = in_normal_units(maps, np.array([False, True]))
    np.testing.assert_allclose(units[1], (50 - 15) / (19.9 - 15), rtol=1e-6)
    assert units[0, 0, 50] == 0 and units[0, 0, 99] == pytest.approx(1)
    np.testing.assert_array_equal(in_normal_units(maps[1:], np.array([True])), np.zeros((1, 1, 101)))


@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_normal_units_do_not_depend_on_the_detectors_own(scale, shift):
    maps = np.random.default_rng(0).normal(size=(4, 5, 6))
    anomalous = np.array([False, True, False, True])
    ours = in_normal_units(maps, anomalous)
    np.testing.assert_allclose(in_normal_units(scale * maps + shift, anomalous), ours, atol=1e-4)
