"""What makes a backbone that is trained here, as a hash that is part of its path: another recipe is another
file, and going back to an earlier one finds the earlier file. Imports no torch.

What counts is what `Settings.identity` (spd.training.settings) compares, said before anything has run:
architecture, recipe, SPD term, images, initial weights; and, where changed code is run again, the code. The
seed is in the file's name. What only says where or how safely a training runs does not count: device,
GPUs, threads, `checkpoint_minutes`; neither do names, labels, paths and `checks`. (ours)
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spd.config.design import Design
from spd.config.model import Config
from spd.data.options import DatasetOptions, located
from spd.methods.options import METHODS

DIGITS = 12
READ_BY = {"reader", "csv", "defect_component", "objects", "seed"}
"""Options of a data set that decide the rows of its manifest."""


def backbone_hash(
    experiment: Config, name: str, seed: int, *, images: Callable[[str], Any], code: Callable[..., str]
) -> str:
    """Hash of `made_of`: `DIGITS` hexadecimal digits."""
    parts = made_of(experiment, name, seed, images=images, code=code)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:DIGITS]


def made_of(
    experiment: Config, name: str, seed: int, *, images: Callable[[str], Any], code: Callable[..., str]
) -> dict[str, Any]:
    """All that decides the backbone of a pre-training, as JSON values.

    images: data set -> the state of a user's folder (a fingerprint; None where there is no folder).
    code: stage, import paths of the classes that it takes -> hash of its sources, or a constant where changed
    code leaves results as they are.
    """
    row = experiment.pretrainings[name]
    if row.source is not None:
        source = row.source.model_dump(mode="json", exclude={"stages", "seed", "checkpoint"})
        weights = _published(experiment, row.source.checkpoint)
        return {**source, "weights": weights, "code": code("import_backbone")}
    data = experiment.datasets[experiment.corpus.dataset]
    generated = data.archive is not None and data.archive.generated
    method = METHODS[experiment.recipes[row.recipe].method]
    stages = ["examine", "manifest", "corpus"]
    stages += ["unpack"] * (data.archive is not None) + ["demo_archive"] * generated
    return {
        **settings(experiment, name),
        "size": experiment.corpus.size,
        "read_by": data.model_dump(mode="json", include=READ_BY),
        "images": images(experiment.corpus.dataset),
        "archive": experiment.demo_data.model_dump(mode="json") if generated else _archive(data),
        "init": [
            [backbone_hash(experiment, start, at, images=images, code=code), at]
            for start, at in Design(experiment).start_of(name, seed)
        ],
        "code": {**{stage: code(stage) for stage in stages}, "pretrain": code("pretrain", method.path)},
    }


def settings(experiment: Config, name: str) -> dict[str, Any]:
    """`architecture`, `recipe` and `spd` of a pre-training, without what decides no weight; `spd` is None
    where its eta is 0, whatever else it says."""
    row = experiment.pretrainings[name]
    spd = experiment.term(name)
    return {
        "architecture": experiment.architecture(name),
        "recipe": experiment.recipes[row.recipe].model_dump(mode="json", exclude={"checkpoint_minutes"}),
        "spd": None if spd is None else spd.model_dump(mode="json"),
    }


def view_settings(experiment: Config, name: str) -> dict[str, Any]:
    """What decides the views of a pre-training: not its learning rate, not the weight of SPD."""
    row = experiment.pretrainings[name]
    recipe, spd = experiment.recipes[row.recipe], experiment.spd[row.spd]
    return {
        "seed": row.seeds[0],
        "recipe": recipe.model_dump(mode="json", include={"method", "views", "batch", "held_out"}),
        "spd": {
            **spd.model_dump(mode="json", include={"local", "strengths", "anchor", "weak_draws"}),
            "eta": 0.0 if experiment.term(name) is None else 1.0,
        },
    }


def _archive(data: DatasetOptions) -> Any:
    if data.archive is None:
        return None
    return [data.archive.sha256 or _state(data.archive.file), data.archive.nested]


def _published(experiment: Config, checkpoint: str | None) -> Any:
    if checkpoint is None:
        return None
    file = located(checkpoint)
    known = [entry.sha256 for entry in experiment.weights.values() if located(entry.file) == file]
    return known[0] if known else _state(checkpoint)


def _state(file: str) -> list[int] | None:
    """Size and time of a file of the user's own, without reading it; None where it is not there."""
    path = Path(located(file))
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else None
