import numpy as np
import pytest
from scipy import stats

from studies.intervals import paired


def test_interval_is_scipys_paired_t():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.3, 6), rng.normal(0.8, 0.3, 6)
    found = paired(dict(enumerate(a)), dict(enumerate(b)))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((a - b).mean()) and found.n == 6
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_only_common_seeds_count_and_the_sign_is_what_the_interval_excludes():
    base = {0: 0.0, 1: 0.0, 2: 0.0, 9: 100.0}
    assert paired({0: 1.0, 1: 1.1, 2: 0.9}, base).sign == "+"
    assert paired({0: -1.0, 1: -1.1, 2: -0.9, 7: 50.0}, base)[3] == 3
    assert paired({0: -1.0, 1: -1.1, 2: -0.9}, base).sign == "-"
    assert paired({0: -1.0, 1: 1.0, 2: 0.1}, base).sign == ""


def test_one_pair_has_no_interval_and_none_is_an_error():
    assert paired({3: 1.0}, {3: 0.5}) == (0.5, -np.inf, np.inf, 1, 1.0)
    with pytest.raises(ValueError, match="no seed in common"):
        paired({1: 1.0}, {2: 1.0})


def test_equal_differences_have_no_width():
    assert paired({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.5}) == (0.5, 0.5, 0.5, 2, 0.0)
    assert paired({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}) == (0.0, 0.0, 0.0, 2, 1.0)
