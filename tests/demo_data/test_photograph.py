import numpy as np
import pytest

from demo_data.archives import MVTEC, VISA
from demo_data.photograph import VISIBLE, photograph

PARTS = VISA | MVTEC
CASES = [(name, defect) for name, part in PARTS.items() for defect in part.defects]


@pytest.mark.parametrize(("name", "defect"), CASES)
@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_the_mask_is_where_the_defect_changes_the_photograph(name, defect, scale):
    part = PARTS[name]
    shot = photograph(part, scale, ("test", name, defect), (defect,))
    mask, change = shot.classes > 0, np.abs(shot.image.astype(int) - shot.clean).max(axis=2)
    assert 4 <= mask.sum() < 0.2 * mask.size
    assert set(np.unique(shot.classes)) == {0, part.defects.index(defect) + 1}
    # Rounding to uint8 may add one level on either side of the threshold.
    assert change[~mask].max() <= VISIBLE
    assert (change[mask] >= VISIBLE - 1).mean() > 0.6 and change[mask].max() >= 12


@pytest.mark.parametrize("name", PARTS)
def test_normal_photographs_vary_follow_from_their_key_and_are_not_marked(name):
    part = PARTS[name]
    first, second, again = (photograph(part, 0.4, ("test", name, i)) for i in (0, 1, 0))
    assert first.image.dtype == np.uint8
    assert first.image.shape == (round(part.size[1] * 0.4), round(part.size[0] * 0.4), 3)
    assert np.array_equal(first.image, first.clean) and not first.classes.any()
    assert np.array_equal(first.image, again.image)
    assert 2 < np.abs(first.image.astype(int) - second.image).mean() < 60


def test_a_size_at_which_a_defect_cannot_be_seen_is_refused():
    with pytest.raises(ValueError, match=r"weave's stain cannot be seen at demo_data\.scale 0\.02"):
        photograph(MVTEC["weave"], 0.02, ("test",), ("stain",))
