import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from scipy.ndimage import gaussian_filter1d

from spd.views import colour, fused, smoothblend
from spd.views.options import LocalOptions

SIZE = 64


def fused_local(images, draws, foreground):
    return fused.apply_local_(images.clone(), draws, foreground)


IMPLEMENTATIONS = pytest.mark.parametrize(
    "apply_local", [smoothblend.apply_local, fused_local], ids=["batched", "fused"]
)


@pytest.fixture
def views(images):
    return torch.nn.functional.interpolate(images / 255, size=(SIZE, SIZE))


LARGE = LocalOptions(area=(0.02, 0.15))


def draw(options, batch=6, seed=0):
    return smoothblend.draw_local(
        options, SIZE, np.random.default_rng(seed).random((batch, smoothblend.UNIFORMS))
    )


def brute_force(view, draws, index, foreground, fine=51):
    """One image at a time: jitter the patch with torchvision, rasterise the mask `fine` times finer, blur it
    with scipy, read it at the pixel centres, blend the whole frame."""
    names = ("source", "target", "patch", "mask_sigma", "factors", "order")
    source, (top, left), (height, width), sigma, factors, order = (draws[name][index] for name in names)
    content = view[:, source[0] : source[0] + height, source[1] : source[1] + width]
    operations = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for operation in order:
        content = operations[operation](content, factors[operation])
    u = view.clone() if foreground == "image" else torch.zeros_like(view)
    u[:, top : top + height, left : left + width] = content
    rows, columns = np.zeros(SIZE * fine), np.zeros(SIZE * fine)
    rows[top * fine : (top + height) * fine] = 1
    columns[left * fine : (left + width) * fine] = 1
    if sigma > 0:
        rows, columns = (
            gaussian_filter1d(m, sigma * fine, mode="constant", truncate=6) for m in (rows, columns)
        )
    alpha = torch.from_numpy(np.outer(rows[fine // 2 :: fine], columns[fine // 2 :: fine])).float()
    return (1 - alpha) * view + alpha * u


@IMPLEMENTATIONS
@pytest.mark.parametrize("foreground", ["image", "zero"])
@pytest.mark.parametrize("kind", ["smoothblend", "cutpaste"])
def test_equals_a_brute_force_twin(views, apply_local, foreground, kind):
    draws = draw(LARGE.model_copy(update={"kind": kind}))
    result = apply_local(views, draws, foreground)
    for index, view in enumerate(views):
        expected = brute_force(view, draws, index, foreground)
        # 1e-4 (a fortieth of a grey level): the twin's raster, and our window that ends at 4 sigma.
        torch.testing.assert_close(result[index], expected, atol=1e-4, rtol=0)


@IMPLEMENTATIONS
@pytest.mark.parametrize("foreground", ["image", "zero"])
def test_patches_at_the_border_equal_the_twin(views, apply_local, foreground):
    corners = [(0, 0), (0, 44), (52, 0), (52, 44), (0, 20), (30, 44)]
    draws = {
        "patch": np.tile([12, 20], (6, 1)),
        "source": np.array(corners[::-1]),
        "target": np.array(corners),
        "mask_sigma": np.full(6, 1.4),
        "factors": np.tile([1.1, 1.2, 0.9, 0.05], (6, 1)),
        "order": colour.ORDERS[[0, 5, 10, 15, 20, 23]],
    }
    result = apply_local(views, draws, foreground)
    for index, view in enumerate(views):
        expected = brute_force(view, draws, index, foreground)
        torch.testing.assert_close(result[index], expected, atol=1e-4, rtol=0)


@IMPLEMENTATIONS
def test_image_foreground_leaves_everything_outside_the_patch_as_it_was(views, apply_local):
    draws = draw(LocalOptions())
    result = apply_local(views, draws, "image")
    for view, changed, (top, left), (height, width) in zip(
        views, result, draws["target"], draws["patch"], strict=True
    ):
        difference = (changed - view).abs()
        assert difference[:, top : top + height, left : left + width].max() > 0.01
        difference[:, top : top + height, left : left + width] = 0
        assert difference.max() <= 6e-8  # (1 - alpha) x + alpha x rounds


@IMPLEMENTATIONS
def test_zero_foreground_leaves_a_dark_rim(apply_local):
    views = torch.full((6, 3, SIZE, SIZE), 0.5)
    draws = draw(LARGE)
    rim = apply_local(views, draws, "zero").amin((1, 2, 3))
    # A straight edge is blurred to alpha = 1/2 there, so the first pixel outside loses almost half.
    assert (rim < 0.4).all()
    none = draw(LocalOptions(jitter={"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}))
    torch.testing.assert_close(apply_local(views, none, "image"), views, atol=1e-7, rtol=0)


@IMPLEMENTATIONS
def test_cutpaste_copies_the_patch_exactly(views, apply_local):
    draws = draw(LocalOptions(kind="cutpaste", jitter={"p": 0.0}))
    result = apply_local(views, draws, "image")
    for view, changed, source, target, (height, width) in zip(
        views, result, draws["source"], draws["target"], draws["patch"], strict=True
    ):
        expected = view.clone()
        expected[:, target[0] : target[0] + height, target[1] : target[1] + width] = view[
            :, source[0] : source[0] + height, source[1] : source[1] + width
        ]
        torch.testing.assert_close(changed, expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("size", [8, 32, 224])
def test_draws_stay_inside_the_view_and_the_ranges(size):
    options = LocalOptions(area=(0.02, 0.15), aspect=(0.3, 3.3), sigma=(0.05, 0.1))
    draws = smoothblend.draw_local(
        options, size, np.random.default_rng(0).random((2000, smoothblend.UNIFORMS))
    )
    assert (draws["patch"] >= 1).all()
    for corner in ("source", "target"):
        assert (draws[corner] >= 0).all() and (draws[corner] + draws["patch"] <= size).all()
    share = draws["mask_sigma"] / np.sqrt(draws["patch"].prod(axis=1))
    assert share.min() >= 0.05 and share.max() <= 0.1
    if size == 224:  # sides are whole pixels, which small views feel
        area = draws["patch"].prod(axis=1) / size**2
        assert 0.019 < area.min() < 0.022 and 0.147 < area.max() < 0.153
        aspect = np.log(draws["patch"][:, 1] / draws["patch"][:, 0])
        assert abs(np.median(aspect)) < 0.1 and aspect.max() < np.log(3.6)
    assert (
        smoothblend.draw_local(
            options.model_copy(update={"kind": "cutpaste"}),
            size,
            np.random.default_rng(0).random((5, smoothblend.UNIFORMS)),
        )["mask_sigma"]
        == 0
    ).all()


def test_alpha_beyond_the_window_is_below_a_hundredth_of_a_grey_level():
    sigma, length = torch.tensor(2.0, dtype=torch.float64), torch.tensor(20.0, dtype=torch.float64)
    beyond = torch.arange(-40, -8, dtype=torch.float64)  # the window begins at -4 sigma = -8
    assert smoothblend.blurred_interval(beyond, length, sigma).max() < 0.01 / 255
