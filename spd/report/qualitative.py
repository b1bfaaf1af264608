"""The poster's figure for every object and pair of pre-trainings, ROC and PR curves, and training curves."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from spd.metrics.curves import image_curves, pixel_curves
from spd.report.cases import RULE
from spd.report.figures import panels_of_object, pretraining_curves, qualitative, read_history, score_curves
from spd.report.scored import (
    Method,
    ObjectImages,
    Scored,
    View,
    file_name,
    methods,
    pairs,
    read_object,
    views,
)


def write_figures(
    scored: Iterable[Scored], histories: Mapping[str, str | Path], out: str | Path, *, footer: str = ""
) -> list[Path]:
    """Writes every figure below `out` as PNG and returns the paths, in order.

    `<data set>/<object>/<setup>-<detector>-<profile>-<pre-training>.png`: image, mask, heat map without and
    with SPD, for each pre-training with SPD that has a partner without. `...-curves.png`: ROC and
    precision-recall curves of the images of all pre-trainings, and of their pixels with the whole PRO curve
    where the object has masks. `pretraining.png`: the histories (label -> JSON lines), if there are any. An
    object without anomalous test images has no figure, but `out` is there in any case. `footer` is put below
    the qualitative figures after the rule by which images were chosen. Raises ValueError as read_object does.
    """
    out, paths = Path(out), []
    out.mkdir(parents=True, exist_ok=True)
    for view, objects in views(scored).items():
        for name, runs in objects.items():
            found, tested = methods(runs), read_object(name, runs)
            place = out / file_name(view.dataset) / file_name(name)
            for before, after in pairs(found):
                path = place / _figure(view, after.name)
                paths += _pair(view, name, tested, before, after, path, footer)
            paths += _curves(view, name, tested, found, place / _figure(view, "curves"))
    if histories:
        read = {label: read_history(path) for label, path in histories.items()}
        paths.append(pretraining_curves(read, out / "pretraining.png", title="Pre-training"))
    return paths


def figures_of(out: str | Path, view: View, pretraining: str) -> list[Path]:
    """The figures below `out` of a pre-training with SPD beside its partner, one an object, in order."""
    place = Path(out) / file_name(view.dataset)
    return sorted(path for path in place.glob("*/*") if path.name == _figure(view, pretraining))


def _figure(view: View, name: str) -> str:
    return f"{view.setup}-{view.detector}-{file_name(view.profile)}-{file_name(name)}.png"


def _pair(
    view: View, name: str, tested: ObjectImages, before: Method, after: Method, path: Path, footer: str
) -> list[Path]:
    sides = ((tested.scores[side.name], tested.maps[side.name]) for side in (before, after))
    panels = panels_of_object(tested.names, tested.anomalous, tested.images, tested.masks, *sides)
    if not panels:
        return []
    title = f"{name} ({view.title}): {before.label} and {after.label}"
    return [qualitative(panels, path, title=title, footer=f"{RULE} {footer}".strip())]


def _curves(view: View, name: str, tested: ObjectImages, found: list[Method], path: Path) -> list[Path]:
    levels = {"images": {m.label: image_curves(tested.scores[m.name], tested.anomalous) for m in found}}
    if tested.masks is not None:
        # The kept maps have 11 bits: enough for a picture, and no number comes from here.
        maps = {m.label: np.asarray(tested.maps[m.name], np.float32) for m in found}
        levels["pixels"] = {label: pixel_curves(each, tested.masks) for label, each in maps.items()}
    if not any(curve for curves in levels.values() for curve in curves.values()):
        return []
    return [score_curves(levels, path, title=f"{name} ({view.title})")]
