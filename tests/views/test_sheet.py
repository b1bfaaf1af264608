import numpy as np
import torch
from PIL import Image

from spd.views import sheet
from spd.views.options import WEAK, LocalOptions, ViewOptions, ViewsOptions

SIZE = 32
OPTIONS = ViewsOptions(strong=ViewOptions(size=SIZE), weak=WEAK.model_copy(update={"size": SIZE}))


def test_the_sheet_shows_the_views_of_training(images, tmp_path):
    path = tmp_path / "sheet.png"
    sheet.render_sheet(images[:2], OPTIONS, path, seed=3, step=5)
    picture = np.asarray(Image.open(path))
    plain = OPTIONS.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    names = OPTIONS.names(spd=True)
    made = sheet.views.apply(
        images[:2], None, sheet.views.draw(OPTIONS, seed=3, step=5, batch=2, names=names), plain
    )
    times = 5  # 32 pixels are shown as 160
    left = sheet.GAP + 90 * times + sheet.GAP  # behind the first column, the image
    for name in names:
        expected = (made[name][0] * 255).round().byte().permute(1, 2, 0).numpy()
        rows, columns = (slice(at, at + SIZE * times, times) for at in (sheet.GAP, left))
        assert np.array_equal(picture[rows, columns], expected)
        left += SIZE * times + sheet.GAP
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_the_change_shown_is_grey_outside_the_patch(images):
    draws = sheet.views.draw(OPTIONS, seed=0, step=0, batch=6, names=OPTIONS.names(spd=True))
    plain = OPTIONS.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    change = sheet.views.apply(images, None, draws, plain)["minus"] - sheet._without_local(
        images, None, draws, plain
    )
    minus = draws["minus"]
    for one, (top, left), (height, width) in zip(
        change, minus["local_target"], minus["local_patch"], strict=True
    ):
        assert one.abs().max() > 0.01
        one[:, top : top + height, left : left + width] = 0
        assert one.abs().max() < 1e-6


def test_other_sheets_and_anchors_are_written(images, tmp_path):
    anchored = OPTIONS.model_copy(update={"anchor": "image"})
    sheet.render_sheet(images[:1], anchored, tmp_path / "anchor.png", names=anchored.names(spd=True))
    names = OPTIONS.names(("x",), spd=True)
    sheet.render_sheet(images[:1], OPTIONS, tmp_path / "supervised.png", names=names)
    sheet.render_local_sheet(images[:1, :, :64, :64], LocalOptions(), tmp_path / "local.png")
    sheet.render_parameter_sheet(images[0], tmp_path / "parameters.png", size=16)
    for path in tmp_path.iterdir():
        assert np.asarray(Image.open(path)).std() > 10


def test_generated_images_come_from_their_seed():
    first = sheet.generated_images(2, 40, seed=1)
    assert first.shape == (2, 3, 40, 40) and first.dtype == torch.uint8
    assert torch.equal(first, sheet.generated_images(2, 40, seed=1))
    assert not torch.equal(first, sheet.generated_images(2, 40, seed=2))
