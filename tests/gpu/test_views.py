"""A GPU's views are the CPU's: drawn by the same numbers, made by another path."""

import pytest
import torch

from spd.views.options import WEAK, LocalOptions, ViewOptions, ViewsOptions
from spd.views.sheet import generated_images
from spd.views.views import apply, draw

SIZE = 64


@pytest.mark.parametrize(
    ("kind", "foreground"), [("smoothblend", "image"), ("smoothblend", "zero"), ("cutpaste", "image")]
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_equal_to_the_cpus(interpolation, kind, foreground):
    names = ("q", "k", "plus", "minus")
    views = ViewsOptions(
        strong=ViewOptions(size=SIZE, interpolation=interpolation),
        weak=WEAK.model_copy(update={"size": SIZE, "interpolation": interpolation}),
        local=LocalOptions(kind=kind, foreground=foreground),
    )
    images = generated_images(16, 96, seed=1)
    draws = draw(views, seed=3, step=5, batch=len(images), names=names)
    want, found = (apply(x, None, draws, views) for x in (images, images.cuda()))
    for name in names:
        assert found[name].is_cuda
        torch.testing.assert_close(found[name].cpu(), want[name], rtol=0, atol=2e-4, msg=name)
