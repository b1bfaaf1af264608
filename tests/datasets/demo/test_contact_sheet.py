import numpy as np

from spd.datasets.demo.contact_sheet import outlined, sheet
from spd.datasets.demo.part import Photograph


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


def test_a_sheet_holds_all_images_and_white_gaps():
    images = [np.full((5, 7, 3), value, np.uint8) for value in (10, 20, 30)]
    page = sheet([images[:2], images[2:]])
    assert [(page == value).all(axis=2).sum() for value in (10, 20, 30)] == [35, 35, 35]
    assert (page[0] == 255).all() and (page[-1] == 255).all()
