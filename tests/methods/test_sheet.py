import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spd.methods.options import SPDOptions
from spd.methods.sheet import render_first_step
from spd.training import loop
from spd.views.sheet import GAP, SHOWN

spec = importlib.util.spec_from_file_location(
    "small_runs", Path(__file__).parents[1] / "training/small_runs.py"
)
runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)


@pytest.mark.parametrize("method", ["simsiam", "supervised"])
@pytest.mark.parametrize(
    "spd", [None, {"eta": 0.5}, {"eta": 0.5, "anchor": "image"}, {"eta": 1, "local": "cutpaste"}]
)
def test_it_shows_what_the_training_saw_in_its_first_step(method, spd, tmp_path, monkeypatch):
    seen = []

    def watched(images, sizes, draws, options):
        views = apply(images, sizes, draws, options)
        seen.append((images.clone(), {name: view.clone() for name, view in views.items()}))
        return views

    apply = loop.apply
    monkeypatch.setattr(loop, "apply", watched)
    # ImageNet's mean and deviation are undone below, to what 8 bits of the picture can show
    recipe = runs.recipe(method, held_out=0.2)
    runs.train(tmp_path, recipe, spd=spd, seed=3)
    images, views = seen[0]

    path = tmp_path / "sheet.png"
    render_first_step(runs.images(), recipe, None if spd is None else SPDOptions(**spd), path, seed=3, rows=2)
    picture = np.asarray(Image.open(path)).astype(float)
    times = math.ceil(SHOWN / 16)  # each pixel is shown as so many
    top = left = GAP
    stored = picture[top : top + 24 * times : times, left : left + 24 * times : times]
    assert np.array_equal(stored, images[0].permute(1, 2, 0).numpy().astype(float))
    left += 24 * times + GAP
    for view in views.values():
        pixels = view[0].permute(1, 2, 0).numpy() * recipe.views.std + recipe.views.mean
        shown = picture[top : top + 16 * times : times, left : left + 16 * times : times]
        assert np.abs(shown - 255 * pixels).max() <= 0.51
        left += 16 * times + GAP
    extra = 2 if spd else 0  # the patch enlarged, and the change
    assert picture.shape[1] == left + extra * (16 * times + GAP)
