"""Pictures of the results page: a few test images an object, and every method's heat map of them."""

import functools
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from PIL import Image

from spd.files import atomic_write
from spd.report.cases import in_normal_units
from spd.report.scored import ObjectImages, Scored, methods, pairs, ranks, read_object, views

SIDE = 256  # longest side of a picture in pixels; smaller ones are kept as they are
QUALITY = {"image": 80, "heat": 85}
RULE = (
    "Five anomalous test images at the quartiles of the change of rank that SPD brings, averaged over all "
    "pairs without and with (without pairs: of the rank itself), and the normal test image that ranks as "
    "most anomalous on average. Every method is shown on the same images, from its first seed."
)
KINDS = ("largest mean rise", "upper quartile", "median", "lower quartile", "largest mean fall")
KINDS_WITHOUT_PAIRS = ("most anomalous", "upper quartile", "median", "lower quartile", "least anomalous")


class Shown(NamedTuple):
    """One image of the browser: its index among the test images, and why it is shown."""

    index: int
    kind: str


def choose_shown(tested: ObjectImages, paired: list[tuple[str, str]]) -> list[Shown]:
    """Images of one object by the rule `RULE`, each once; fewer where there are fewer. (ours)

    paired: names of methods without and with SPD.
    """
    table = ranks(tested.scores)
    mean = table.mean(axis=1).to_numpy()  # 1 = most anomalous
    order_by = mean
    if paired:
        order_by = np.mean([table[after] - table[before] for before, after in paired], axis=0)
    order = sorted(np.flatnonzero(tested.anomalous).tolist(), key=lambda i: (order_by[i], tested.names[i]))
    found: dict[int, Shown] = {}
    if order:
        kinds = KINDS if paired else KINDS_WITHOUT_PAIRS
        # The ends and the middle first: with few images they matter most.
        for quarter in (0, 4, 2, 1, 3):
            index = order[(len(order) - 1) * quarter // 4]
            found.setdefault(index, Shown(index, kinds[quarter]))
    chosen = [found[index] for index in order if index in found]
    normal = sorted(np.flatnonzero(~tested.anomalous).tolist(), key=lambda i: (mean[i], tested.names[i]))
    return chosen + [Shown(index, "normal, most anomalous") for index in normal[:1]]


def write_pictures(scored: Iterable[Scored], folder: str | Path) -> list[dict[str, Any]]:
    """Writes the browser's pictures into `folder` as WebP and returns what it shows, ready for JSON.

    Each name is the hash of the content, so that a picture that two views share lies there once; files of the
    same kind that nothing refers to any more are removed. Heat maps are in the units of
    spd.report.cases.in_normal_units, on one colour scale an object: from 0 to the 99.5 % quantile of what is
    shown of it, at least to 1.

    Returns a list of views, `{title, methods: [{label, partner}], objects: [...]}`; `partner` is the index of
    the same method without SPD, or None. An object is `{name, count, ceiling, width, height, keys, cases}`,
    `keys` the run keys by method; a case `{kind, name, anomalous, defect, image, mask, maps, ranks}` with
    file names, None where there is none, and `maps` and `ranks` by method.

    Raises ValueError as read_object does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()

    def put(pixels: np.ndarray, kind: str) -> str:
        name, content = _encode(pixels, kind)
        if name not in written:
            written.add(name)
            atomic_write(folder / name, content)
        return name

    shown = []
    for view, objects in views(scored).items():
        found = methods(run for runs in objects.values() for run in runs)
        paired = pairs(found)
        partner = {after.name: before.name for before, after in paired}
        index = {method.name: i for i, method in enumerate(found)}
        shown.append(
            {
                "title": view.title,
                "methods": [{"label": m.label, "partner": index.get(partner.get(m.name))} for m in found],
                "objects": [
                    _object(name, runs, [m.name for m in found], partner, put)
                    for name, runs in objects.items()
                ],
            }
        )
    for path in folder.glob("*.webp"):
        if path.name not in written:
            path.unlink()
    return shown


def _object(name: str, runs: list[Scored], order: list[str], partner: dict[str, str], put) -> dict[str, Any]:
    tested = read_object(name, runs)
    cases = choose_shown(
        tested, [(partner[key], key) for key in tested.scores if partner.get(key) in tested.scores]
    )
    chosen = [case.index for case in cases]
    maps = {key: in_normal_units(each, tested.anomalous)[chosen] for key, each in tested.maps.items()}
    every = np.concatenate([each.ravel() for each in maps.values()])
    ceiling = max(1.0, float(np.quantile(every, 0.995))) if every.size else 1.0
    table = ranks(tested.scores)
    height, width = tested.images.shape[2:]
    return {
        "name": name,
        "count": len(tested.names),
        "ceiling": round(ceiling, 2),
        "width": width,
        "height": height,
        "keys": [tested.run_keys.get(key) for key in order],
        "cases": [
            {
                "kind": case.kind,
                "name": tested.names[case.index].rpartition("/")[2],
                "anomalous": bool(tested.anomalous[case.index]),
                "defect": tested.defects[case.index] if tested.anomalous[case.index] else "",
                "image": put(np.moveaxis(tested.images[case.index], 0, -1), "image"),
                "mask": None if tested.masks is None else put(255 * tested.masks[case.index], "mask"),
                "maps": [
                    put(_coloured(maps[key][i], ceiling), "heat") if key in maps else None for key in order
                ],
                "ranks": [float(table.loc[case.index, key]) if key in table else None for key in order],
            }
            for i, case in enumerate(cases)
        ],
    }


def _coloured(scores: np.ndarray, ceiling: float) -> np.ndarray:
    """(H, W) scores -> (H, W, 3) uint8 in matplotlib's inferno from 0 to `ceiling`."""
    return _inferno()[np.round(255 * np.clip(scores / ceiling, 0, 1)).astype(np.uint8)]


@functools.cache
def _inferno() -> np.ndarray:
    return np.round(255 * matplotlib.colormaps["inferno"](np.arange(256))[:, :3]).astype(np.uint8)


def _encode(pixels: np.ndarray, kind: str) -> tuple[str, bytes]:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.NEAREST if kind == "mask" else Image.Resampling.BOX)
    content = io.BytesIO()
    if kind == "mask":
        picture.save(content, "WEBP", lossless=True, quality=100, method=4)
    else:
        picture.save(content, "WEBP", quality=QUALITY[kind], method=4)
    return hashlib.sha256(content.getvalue()).hexdigest()[:20] + ".webp", content.getvalue()
