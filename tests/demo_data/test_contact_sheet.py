import numpy as np
import pytest

from demo_data.contact_sheet import close_up, outlined, sheet
from demo_data.part import Photograph


def test_the_outline_runs_around_the_mask_and_leaves_it_visible():
    image = np.full((20, 30), 90, np.uint8)
    classes = np.zeros((20, 30), np.uint8)
    classes[8:12, 10:20] = 3
    drawn = outlined(Photograph(image, image, classes, ("x",)))
    red = (drawn == (255, 40, 40)).all(axis=2)
    assert red.any() and not red[classes > 0].any()
    assert (drawn[~red] == 90).all()
    ys, xs = np.nonzero(red)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (5, 14, 7, 22)


@pytest.mark.parametrize(
    ("rows", "columns", "zoom"),
    [
        ((60, 64), (70, 75), 4),
        ((0, 3), (95, 100), 4),  # in a corner
        ((10, 70), (20, 30), 80 / 72),  # as large as fits
        ((0, 80), (0, 100), 1),
    ],
)
def test_a_close_up_shows_the_whole_defect_at_the_images_size(rows, columns, zoom):
    image = np.full((80, 100), 60, np.uint8)
    classes = np.zeros((80, 100), np.uint8)
    classes[slice(*rows), slice(*columns)] = 2
    image[classes > 0] = 200
    shown = close_up(Photograph(image, image, classes, ("x",)))
    assert shown.shape == (80, 100, 3)
    area = (rows[1] - rows[0]) * (columns[1] - columns[0])
    assert (shown[..., 0] > 130).sum() == pytest.approx(area * zoom**2, rel=0.1)


def test_a_sheet_holds_all_images_and_white_gaps():
    images = [np.full((5, 7, 3), value, np.uint8) for value in (10, 20, 30)]
    page = sheet([images[:2], images[2:]])
    assert [(page == value).all(axis=2).sum() for value in (10, 20, 30)] == [35, 35, 35]
    assert (page[0] == 255).all() and (page[-1] == 255).all()
