import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from spd.report.pictures import SIDE, _coloured, _encode, choose_shown
from spd.report.scored import ObjectImages


def images_of(scores, anomalous):
    n = len(anomalous)
    names, images = [f"{i:02}.png" for i in range(n)], np.zeros((n, 3, 4, 4), np.uint8)
    scores = {key: np.array(value, np.float32) for key, value in scores.items()}
    return ObjectImages(names, [""] * n, np.array(anomalous, bool), images, None, scores, {}, {})


def test_images_stand_at_the_quartiles_of_the_shift():
    # Nine anomalous images from the least to the most suspicious; SPD turns their order round.
    without = np.arange(1, 10).tolist()
    with_spd = without[::-1]
    object_ = images_of({"a": [*without, 0], "b": [*with_spd, 0]}, [True] * 9 + [False])
    shown = choose_shown(object_, [("a", "b")])
    assert [(s.index, s.kind) for s in shown] == [
        (0, "largest mean rise"), (2, "upper quartile"), (4, "median"), (6, "lower quartile"),
        (8, "largest mean fall"), (9, "normal, most anomalous"),
    ]  # fmt: skip


def test_without_pairs_the_rank_itself_decides_and_normals_are_not_forgotten():
    shown = choose_shown(images_of({"a": [5, 1, 3, 9, 7, 8]}, [1, 1, 1, 0, 0, 0]), [])
    assert [(s.index, s.kind) for s in shown] == [
        (0, "most anomalous"), (2, "median"), (1, "least anomalous"), (3, "normal, most anomalous")
    ]  # fmt: skip


@pytest.mark.parametrize("anomalous", [[], [True], [False], [True, True], [True] * 3 + [False]])
def test_no_image_is_shown_twice(anomalous):
    shown = choose_shown(
        images_of({"a": np.zeros(len(anomalous))}, anomalous), [("a", "a")] if anomalous else []
    )
    assert len({s.index for s in shown}) == len(shown) == len(anomalous)


def test_colours_are_infernos_and_ends_are_clipped():
    expected = np.round(255 * np.array([matplotlib.cm.inferno(x)[:3] for x in (0, 0, 255, 255)]))
    np.testing.assert_array_equal(_coloured(np.array([[-5.0, 0.0, 4.0, 40.0]]), 4.0)[0], expected)


def test_pictures_are_small_named_by_content_and_masks_stay_exact():
    generator = np.random.default_rng(0)
    mask = 255 * (generator.random((200, 300)) > 0.5).astype(np.uint8)
    name, content = _encode(mask, "mask")
    found = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert max(found.shape) == SIDE and set(np.unique(found)) == {0, 255}
    assert name == _encode(mask, "mask")[0] != _encode(255 - mask, "mask")[0]
    small = np.zeros((20, 30, 3), np.uint8)
    assert Image.open(io.BytesIO(_encode(small, "heat")[1])).size == (30, 20)
