import numpy as np
import pytest
from scipy import ndimage

from demo_data.part import VISIBLE, closed, photograph
from demo_data.parts import PARTS

CASES = [(name, kind) for name, part in PARTS.items() for kind in part.defects]


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("scale", [0.4, 0.75])
def test_the_mask_is_where_the_defect_changes_the_photograph(name, kind, scale):
    part = PARTS[name]
    shot = photograph(part, scale, ("test", name, kind), (kind,))
    mask = shot.classes > 0
    change = np.abs(shot.image.astype(int) - shot.clean)
    change = change if part.grey else change.max(axis=2)
    assert mask.any() and mask.mean() < 0.2
    assert set(np.unique(shot.classes)) == {0, part.defects.index(kind) + 1}
    # Rounding to uint8 may add one level on either side of the threshold.
    assert change[~mask].max(initial=0) <= VISIBLE
    assert (change[mask] >= VISIBLE - 1).mean() > 0.6
    assert change[mask].max() >= 12


@pytest.mark.parametrize("name", PARTS)
def test_normal_photographs_vary_and_are_not_marked(name):
    part = PARTS[name]
    first, second = (photograph(part, 0.4, ("test", name, i)) for i in range(2))
    assert first.image.dtype == np.uint8
    size = (round(part.height * 0.4), round(part.width * 0.4))
    assert first.image.shape == (size if part.grey else (*size, 3))
    assert np.array_equal(first.image, first.clean) and not first.classes.any()
    assert 2 < abs(first.image.astype(int) - second.image).mean() < 60


@pytest.mark.parametrize("name", PARTS)
def test_two_defects_both_have_their_class(name):
    part = PARTS[name]
    shot = photograph(part, 0.75, ("test", name, "two"), part.defects[:2])
    assert set(np.unique(shot.classes)) >= {0, 2}
    alone = photograph(part, 0.75, ("test", name, "two"), part.defects[:1])
    kept = (alone.classes > 0) & (shot.classes != 2)
    assert (shot.classes[kept] == 1).all()


@pytest.mark.parametrize("radius", [1, 2])
def test_closing_is_scipys(radius):
    mask = np.random.default_rng(0).random((30, 40)) < 0.15
    square = np.ones((2 * radius + 1,) * 2)
    padded = ndimage.binary_closing(np.pad(mask, 5), square)[5:-5, 5:-5]
    assert np.array_equal(closed(mask, radius), padded)


def test_a_size_at_which_a_defect_cannot_be_seen_is_refused():
    part = PARTS["biscuit"]
    with pytest.raises(ValueError, match=r"biscuit's crack is invisible at scale 0\.02"):
        photograph(part, 0.02, ("test",), ("crack",))
