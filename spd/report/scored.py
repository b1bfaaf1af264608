"""What pictures are made of: the scores and maps that a detector left of one data set, beside the images."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from spd.data.cache import ImageCache
from spd.report.arrange import row_word
from spd.report.cells import Cell, read_cells
from spd.report.names import Names
from spd.tensors import open_tensors


class Scored(NamedTuple):
    """One run of a detector, its cell, and the two files that its pictures come from."""

    cell: Cell
    images: Path
    """The image cache (spd.data.cache) that the detector read."""
    maps: Path
    """`NAME/maps` (N, H, W) and `NAME/scores` (N,) of the test images, as spd.detectors.evaluation writes
    them."""


def read_scored(
    cells: Sequence[str | Path], images: Sequence[str | Path], maps: Sequence[str | Path], names: Names
) -> list[Scored]:
    """Runs of 1-class detectors from their cells and the two files of each, in the order given."""
    files = zip(read_cells(cells, names), map(Path, images), map(Path, maps), strict=True)
    return [Scored(*one) for one in files]


class View(NamedTuple):
    """Results that can be laid side by side: the same images under the same detector."""

    dataset: str
    setup: str
    detector: str
    profile: str

    @property
    def title(self) -> str:
        setup = "" if self.setup == "1cls" else f", {self.setup}"
        return f"{self.dataset}{setup}, {self.detector}, profile {self.profile}"


class Method(NamedTuple):
    """One pre-training in a view."""

    name: str
    label: str
    method: str
    spd: str
    backbone: str


class ObjectImages(NamedTuple):
    """The test images of one object, and what each method made of them. N images."""

    names: list[str]
    defects: list[str]
    anomalous: np.ndarray
    """(N,) bool."""
    images: np.ndarray
    """(N, 3, H, W) uint8."""
    masks: np.ndarray | None
    """(N, H, W) uint8 in {0, 1}; None where the object has none."""
    scores: dict[str, np.ndarray]
    """Pre-training's name -> (N,) float32, larger = more anomalous."""
    maps: dict[str, np.ndarray]
    """Pre-training's name -> (N, H, W) float16, each in units of its own."""
    run_keys: dict[str, str]


def views(scored: Iterable[Scored]) -> dict[View, dict[str, list[Scored]]]:
    """View -> object -> its runs, one a pre-training (the first seed given), all in the order given; without
    objects that had too few images."""
    found: dict[View, dict[str, list[Scored]]] = {}
    for one in scored:
        cell = one.cell
        view = View(cell.dataset, cell.setup, cell.detector, cell.profile)
        for name in (name for name, result in cell.objects.items() if result.scored):
            runs = found.setdefault(view, {}).setdefault(name, [])
            if cell.pretraining.name not in {run.cell.pretraining.name for run in runs}:
                runs.append(one)
    return found


def methods(runs: Iterable[Scored]) -> list[Method]:
    """The pre-trainings of some runs, each once; the label tells backbones apart where they differ."""
    known = {run.cell.pretraining.name: run.cell.pretraining for run in runs}
    several = len({p.backbone for p in known.values()}) > 1
    return [
        Method(
            p.name,
            row_word(p.method, p.spd, p.backbone if several else ""),
            p.method,
            p.spd,
            p.backbone,
        )
        for p in known.values()
    ]


def pairs(found: Sequence[Method]) -> list[tuple[Method, Method]]:
    """(without SPD, with SPD) of the same label and backbone, in the order of the second."""
    without = {(m.method, m.backbone): m for m in found if m.spd == "none"}
    return [
        (without[m.method, m.backbone], m)
        for m in found
        if m.spd != "none" and (m.method, m.backbone) in without
    ]


def read_object(name: str, runs: Sequence[Scored]) -> ObjectImages:
    """The test images of object `name` and what each run scored. Arrays are mapped, not loaded.

    Raises ValueError for maps that are of other images than the cache.
    """
    cache = ImageCache(runs[0].images)
    rows = cache.rows(name, "test")
    images = cache.images(name, "test")
    scores, maps = {}, {}
    for run in runs:
        tensors, _ = open_tensors(run.maps)
        key = run.cell.pretraining.name
        if f"{name}/maps" not in tensors or len(tensors[f"{name}/maps"]) != len(images):
            raise ValueError(
                f"{run.maps}: its maps of {name} are not of the {len(images)} test images in {run.images}; "
                "delete it and run the workflow again"
            )
        scores[key], maps[key] = tensors[f"{name}/scores"], tensors[f"{name}/maps"]
    return ObjectImages(
        list(rows["image"]),
        list(rows["defect"]),
        (rows["label"] == "anomaly").to_numpy(),
        images,
        cache.masks(name, "test"),
        scores,
        maps,
        {run.cell.pretraining.name: run.cell.provenance.run_key for run in runs},
    )


def ranks(scores: dict[str, np.ndarray]) -> pd.DataFrame:
    """(N, methods) ranks from 1 = most anomalous; equal scores share their mean rank."""
    return pd.DataFrame(scores).rank(ascending=False)


def file_name(text: str) -> str:
    """`text` as one part of a path, reversibly: no separator, and no name that begins with a dot."""
    return re.sub(r"^\.", "%2E", quote(text, safe=" +"))
