import os
from pathlib import Path

import numpy as np
import pytest
import torch

from spd.detectors.coreset import greedy_coreset


def plain_greedy(points, size, start, seed):
    """The definition, in float64 numpy: one centre at a time, all distances anew, lowest index among
    equals."""

    def distances(i):
        total = np.zeros(len(points))
        for k in range(points.shape[1]):
            total += np.square(points[:, k].astype(np.float64) - np.float64(points[i, k]))
        return total

    rng = np.random.default_rng(seed)
    if start == "random":
        chosen = [int(rng.integers(len(points)))]
        m = distances(chosen[0])
    else:
        anchors = rng.choice(len(points), min(10, len(points)), replace=False)
        m, chosen = np.square(sum(np.sqrt(distances(a)) for a in anchors) / len(anchors)), []
    m[chosen] = -1
    while len(chosen) < size:
        chosen.append(int(np.argmax(m)))
        m = np.minimum(m, distances(chosen[-1]))
        m[chosen] = -1
    return np.array(chosen)


def clouds():
    rng = np.random.default_rng(1)
    yield "no structure", rng.normal(size=(2500, 37))
    yield "ties", rng.integers(0, 3, (2500, 5))
    yield "low rank far from zero", 1000 + rng.normal(size=(2500, 4)) @ rng.normal(size=(4, 64))
    yield (
        "tight clusters",
        rng.normal(size=(20, 30))[rng.integers(0, 20, 2500)] + 1e-3 * rng.normal(size=(2500, 30)),
    )
    yield "fewer than a block", rng.normal(size=(410, 16))
    yield "tiny", 1e-12 * rng.normal(size=(1500, 8))
    yield "heavy tails", rng.standard_cauchy((2500, 24))
    yield "squares beyond float32", 1e21 * rng.normal(size=(1200, 8))


@pytest.mark.parametrize(("name", "points"), [pytest.param(n, p, id=n) for n, p in clouds()])
@pytest.mark.parametrize("start", ["random", "mean_of_10"])
def test_selection_is_plain_greedy_index_by_index(name, points, start):
    points = points.astype(np.float32)
    expected = plain_greedy(points, 400, start, 3)
    for filter in ("float32", "bfloat16"):
        np.testing.assert_array_equal(
            greedy_coreset(points, 400, start=start, seed=3, filter=filter), expected
        )


def test_threads_do_not_matter():
    points = np.random.default_rng(2).normal(size=(3000, 33)).astype(np.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = greedy_coreset(points, 300)
        torch.set_num_threads(2)
        two = greedy_coreset(points, 300)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one, two)


def test_copies_of_one_point_are_taken_in_order_once_nothing_else_is_left():
    points = np.repeat(np.eye(4, dtype=np.float32), [3, 3, 2, 2], axis=0)
    chosen = greedy_coreset(points, 10)
    assert {tuple(points[i]) for i in chosen[:4]} == {tuple(row) for row in np.eye(4)}
    assert sorted(chosen) == list(range(10))
    assert list(chosen[4:]) == sorted(chosen[4:])


def test_too_large_and_not_finite():
    with pytest.raises(ValueError, match="11 patches cannot be chosen from 10"):
        greedy_coreset(np.zeros((10, 2), np.float32), 11)
    with pytest.raises(ValueError, match="not finite"):
        greedy_coreset(np.full((10, 2), np.nan, np.float32), 3)


def test_patches_of_real_photographs():
    """8 x 8 pixel patches of hazelnut photographs: many near copies, where a careless filter errs."""
    cv2 = pytest.importorskip("cv2")
    root = os.environ.get("SPD_DATA")
    if not root or not (Path(root) / "hazelnut_toy").is_dir():
        pytest.skip("set SPD_DATA to a folder that holds hazelnut_toy")
    paths = sorted((Path(root) / "hazelnut_toy").rglob("*.jpg")) + sorted(
        (Path(root) / "hazelnut_toy").rglob("*.png")
    )
    patches = []
    for path in paths[:4]:
        image = cv2.resize(cv2.imread(str(path)), (200, 200), interpolation=cv2.INTER_AREA)
        patches.append(image.reshape(25, 8, 25, 8, 3).transpose(0, 2, 1, 3, 4).reshape(625, -1))
    points = np.concatenate(patches).astype(np.float32)
    expected = plain_greedy(points, 300, "mean_of_10", 0)
    for filter in ("float32", "bfloat16"):
        np.testing.assert_array_equal(greedy_coreset(points, 300, filter=filter), expected)
