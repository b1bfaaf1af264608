from itertools import pairwise

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF

from spd.views import views
from spd.views.options import WEAK, LocalOptions, ViewOptions, ViewsOptions

SIZE = 32
OPTIONS = ViewsOptions(strong=ViewOptions(size=SIZE), weak=WEAK.model_copy(update={"size": SIZE}))
ANCHORED = OPTIONS.model_copy(update={"anchor": "image"})
SPD = OPTIONS.names(spd=True)


def make(images, options=OPTIONS, names=SPD, seed=3, step=5):
    return views.apply(
        images, None, views.draw(options, seed=seed, step=step, batch=len(images), names=names), options
    )


def equal(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_and_step_give_the_same_views_bitwise(images):
    assert equal(make(images), make(images))
    for change in ({"step": 6}, {"seed": 4}):
        other = make(images, **change)
        assert not any(torch.equal(view, other[name]) for name, view in make(images).items())


def test_views_are_independent_of_the_number_of_ranks(images):
    whole = make(images)
    draws = views.draw(OPTIONS, seed=3, step=5, batch=6, names=SPD)
    for edges in ([0, 6], [0, 3, 6], [0, 1, 2, 3, 4, 5, 6], [0, 4, 6]):
        parts = [
            views.apply(images[a:b], None, views.slice_draws(draws, a, b), OPTIONS)
            for a, b in pairwise(edges)
        ]
        assert equal(whole, {name: torch.cat([part[name] for part in parts]) for name in SPD})


def test_views_are_independent_of_the_number_of_threads(images):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = make(images)
        torch.set_num_threads(4)
        assert equal(one, make(images))
    finally:
        torch.set_num_threads(threads)


def test_fewer_views_leave_the_others_bitwise_unchanged(images):
    with_spd, without = make(images), make(images, names=OPTIONS.names(spd=False))
    assert list(without) == ["q", "k"]
    assert all(torch.equal(view, with_spd[name]) for name, view in without.items())


def test_the_draws_of_an_image_do_not_depend_on_the_batch_behind_it():
    small, large = (views.draw(OPTIONS, seed=0, step=0, batch=n, names=SPD) for n in (4, 9))
    for name, values in views.slice_draws(large, 0, 4).items():
        assert all(np.array_equal(value, small[name][key]) for key, value in values.items())


def test_the_local_options_change_only_minus(images):
    other = OPTIONS.model_copy(update={"local": LocalOptions(area=(0.3, 0.4))})
    before, after = make(images), make(images, other)
    assert [name for name in SPD if not torch.equal(before[name], after[name])] == ["minus"]


def test_shared_weak_draws_leave_the_local_change_as_the_only_difference(images):
    shared = OPTIONS.model_copy(update={"weak_draws": "shared"})
    apart, together = make(images), make(images, shared)
    assert equal({n: apart[n] for n in ("q", "k", "plus")}, {n: together[n] for n in ("q", "k", "plus")})
    local = views.draw(shared, seed=3, step=5, batch=6, names=SPD)["minus"]
    assert (local["local_target"] == views.draw(OPTIONS, seed=3, step=5, batch=6, names=SPD)["minus"]
            ["local_target"]).all()  # fmt: skip
    changed = (together["minus"] != together["plus"]).any(1)  # (B, S, S)
    reach = np.ceil(4 * local["local_mask_sigma"])
    for i, (top, left) in enumerate(local["local_target"]):
        height, width = local["local_patch"][i] + 2 * reach[i]
        assert 0 < changed[i].sum() <= height * width
        assert changed[i, top, left] or changed[i, top + 1, left + 1]
    assert (apart["minus"] != apart["plus"]).any(1).float().mean() > 0.5


def test_without_spd_the_local_change_is_never_drawn(monkeypatch):
    monkeypatch.setattr(views.smoothblend, "draw_local", lambda *_: pytest.fail("drew a local change"))
    views.draw(OPTIONS, seed=0, step=0, batch=2, names=OPTIONS.names(spd=False))


def test_uniforms_are_those_of_numpys_generator():
    sequence = np.random.SeedSequence((7, 11, 0x1EC7B3A4))  # a stream name with this CRC need not exist
    expected = np.random.Generator(np.random.PCG64(sequence)).random((3, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views.zlib, "crc32", lambda _: 0x1EC7B3A4)
        assert np.array_equal(views._uniforms(7, 11, "q", 3, 5), expected)


def test_views_and_the_local_change_have_streams_of_their_own(monkeypatch):
    made = []
    original = views._uniforms
    monkeypatch.setattr(views, "_uniforms", lambda *a: made.append(original(*a)) or made[-1])
    views.draw(OPTIONS, seed=0, step=0, batch=8, names=SPD)
    assert len({uniforms[:, 0].tobytes() for uniforms in made}) == len(made) == len(SPD) + 1


@pytest.mark.parametrize("options", [OPTIONS, ANCHORED], ids=["q", "image"])
@pytest.mark.parametrize("kind", ["smoothblend", "cutpaste"])
@pytest.mark.parametrize("foreground", ["image", "zero"])
def test_the_batched_and_the_fused_implementation_agree(images, monkeypatch, options, kind, foreground):
    options = options.model_copy(update={"local": LocalOptions(kind=kind, foreground=foreground)})
    names = options.names(spd=True)
    kernels = make(images, options, names)
    monkeypatch.setattr(views, "_fused_kernels_serve", lambda _: False)
    batched = make(images, options, names)
    for name in names:
        # In units of 1 / std: 4e-4 is a fortieth of a grey level.
        torch.testing.assert_close(batched[name], kernels[name], atol=4e-4, rtol=0)
        assert (batched[name] - kernels[name]).abs().mean() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_views(images):
    draws = views.draw(OPTIONS, seed=3, step=5, batch=6, names=SPD)
    on_gpu = views.apply(images.cuda(), None, draws, OPTIONS)
    for name, expected in make(images).items():
        assert on_gpu[name].device.type == "cuda"
        torch.testing.assert_close(on_gpu[name].cpu(), expected, atol=4e-4, rtol=0)


def test_plus_and_minus_are_made_from_the_anchor(images):
    """With all but the strong crop switched off, plus is q itself and minus differs in the patch alone."""
    still = {"jitter": {"p": 0.0}, "grayscale": 0.0, "blur": {"p": 0.0}, "flip": 0.0, "size": SIZE}
    whole = {**still, "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    options = ViewsOptions(strong=still, weak=whole)
    result = make(images, options)
    torch.testing.assert_close(result["plus"], result["q"], atol=1e-6, rtol=0)
    draws = views.draw(options, seed=3, step=5, batch=6, names=SPD)["minus"]
    changed = (result["minus"] - result["q"]).abs().amax(1) > 1e-4
    for mask, (top, left), (height, width) in zip(
        changed, draws["local_target"], draws["local_patch"], strict=True
    ):
        assert mask.any()
        mask[top : top + height, left : left + width] = False
        assert not mask.any()

    options = ViewsOptions(strong=still, weak=whole, anchor="image")
    result = make(images, options, options.names(spd=True))
    torch.testing.assert_close(result["plus"], result["anchor"], atol=1e-6, rtol=0)
    expected = TF.resize(images / 255, [SIZE, SIZE], antialias=True)
    expected = TF.normalize(expected, options.mean, options.std)
    torch.testing.assert_close(result["anchor"], expected, atol=1e-5, rtol=0)


def test_views_are_normalised(images):
    plain = OPTIONS.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    raw, normalised = make(images, plain), make(images)
    for name in SPD:
        assert raw[name].min() >= 0 and raw[name].max() <= 1
        expected = TF.normalize(raw[name], OPTIONS.mean, OPTIONS.std)
        torch.testing.assert_close(normalised[name], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("names", [SPD, ("x",), ("x", "plus", "minus"), ("k", "minus", "q")])
def test_any_selection_of_views_comes_in_its_order_and_shape(images, names):
    result = make(images, names=names)
    assert tuple(result) == names
    assert all(view.shape == (6, 3, SIZE, SIZE) and view.dtype == torch.float32 for view in result.values())


def test_a_single_image_and_an_image_without_colour(images):
    gray = images[:1, :1].expand(1, 3, -1, -1)
    options = OPTIONS.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    for view in make(gray, options).values():
        assert view.isfinite().all()
        assert (view.amax(1) - view.amin(1)).max() < 1e-6  # no colour appears


def test_sizes_are_the_true_sizes_of_squashed_images(images):
    draws = views.draw(OPTIONS, seed=0, step=0, batch=6, names=("q",))
    own = views.apply(images, None, draws, OPTIONS)["q"]
    same = views.apply(images, np.tile([72, 90], (6, 1)), draws, OPTIONS)["q"]
    tall = views.apply(images, torch.tensor([[500, 200]] * 6), draws, OPTIONS)["q"]
    assert torch.equal(own, same) and not torch.equal(own, tall)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda i: views.draw(OPTIONS, seed=0, step=0, batch=2, names=("q", "z")),
            "unknown view 'z'; the views are q",
        ),
        (lambda i: views.draw(OPTIONS, seed=-1, step=0, batch=2, names=("q",)), "must be 0 or more"),
        (lambda i: views.draw(OPTIONS, seed=0, step=0, batch=2, names=("k", "plus")), "name q or x too"),
        (lambda i: make(i.float()), "images must be uint8"),
        (lambda i: make(i[:, :1]), "images must be uint8"),
        (
            lambda i: views.apply(
                i[:2], None, views.draw(OPTIONS, seed=0, step=0, batch=3, names=("q",)), OPTIONS
            ),
            "3 draws of view q for 2 images",
        ),
        (
            lambda i: views.apply(
                i, np.ones((6, 3)), views.draw(OPTIONS, seed=0, step=0, batch=6, names=("q",)), OPTIONS
            ),
            "sizes must be",
        ),
    ],
)
def test_bad_input_is_refused(images, call, message):
    with pytest.raises(ValueError, match=message):
        call(images)
