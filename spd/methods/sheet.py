"""Samples of what a pre-training sees, to look at before or after it is trusted."""

from pathlib import Path

from spd.data import corpus
from spd.methods.options import Recipe, SPDOptions, seen_views
from spd.views.sheet import render_sheet


def render_first_step(
    images: corpus.Corpus,
    recipe: Recipe,
    spd: SPDOptions | None,
    path: str | Path,
    *,
    seed: int,
    rows: int = 4,
) -> None:
    """Writes a PNG (`spd.views.sheet.render_sheet`) of the first `rows` images of the first step of
    `spd.training.loop.pretrain` with the same arguments, and of the views of them that this step sees.
    """
    kept, _ = images.split(recipe.held_out, seed)
    first = kept[corpus.order(len(kept), seed, 0)[: min(rows, recipe.batch)]]
    views, names = seen_views(recipe, spd)
    render_sheet(images.batch(first), views, path, sizes=images.sizes[first], names=names, seed=seed, step=0)
