import numpy as np
import pytest

from demo_data.randomness import Draw


def test_stream_is_that_of_pcg64_seeded_with_the_keys_digest():
    # Recorded values: PCG64 and SeedSequence are the two things numpy promises to keep.
    draw = Draw(0, "gelcaps", "normal", 17, "scene")
    assert [draw.integer(0, 999) for _ in range(4)] == [498, 566, 359, 845]


def test_keys_name_independent_streams():
    a, b, c = (Draw(*key).uniforms((1000,)) for key in ((0, "x", 1), (0, "x", 2), (1, "x", 1)))
    assert np.array_equal(a, Draw(0, "x", 1).uniforms((1000,)))
    assert abs(np.corrcoef([a, b, c])[np.triu_indices(3, 1)]).max() < 0.12


def test_distributions():
    draw = Draw("distributions")
    uniform, bell = draw.uniforms((200, 500)), draw.bells((200, 500))
    assert uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.005)
    assert bell.mean() == pytest.approx(0, abs=0.02) and bell.std() == pytest.approx(1, abs=0.02)
    integers = [draw.integer(-1, 2) for _ in range(4000)]
    assert sorted(set(integers)) == [-1, 0, 1, 2]
    assert np.bincount(np.array(integers) + 1).min() > 850


def test_permutations_hold_each_number_once_and_differ():
    draw = Draw("permutations")
    first, second = draw.permutation(50), draw.permutation(50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second != list(range(50))
