"""Run records: what each stage says of itself, as JSON, before any tracking server is asked.

A record is written by a job without importing mlflow; `tracking` in this folder turns records into runs. A
record holds nothing that changes between identical runs: no clock times, no host names. A detector's cells
(spd.detectors.results) and the results of the linear protocol are records of themselves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spd.detectors.results import Cell
from spd.files import read_json, write_json

WORDS = {"AU-ROC": "au_roc", "AU-PR": "au_pr", "AP": "ap", "F1-max": "f1_max", "AU-PRO": "au_pro"}
"""Metrics' names in run records."""


def write_record(
    path: str | Path,
    *,
    key: str,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float | None] = MappingProxyType({}),
    provenance: Mapping[str, Any],
    history: str | None = None,
    artifacts: Sequence[str] = (),
) -> None:
    """Writes the record of one run.

    key: unique in a results folder and stable between runs, such as `pretrain/simsiam_spd/seed0`.
    experiment: the MLflow experiment (a stage or a table). name: what a person reads in a list of runs.
    params: flat, any scalar. metrics: flat, named `group/metric`; None is left out.
    history: a JSON-lines file of per-step metrics with a key `step`. artifacts: files to attach.
    Paths are relative to the working folder.
    """
    write_json(
        path,
        {
            "schema": 1,
            "key": key,
            "experiment": experiment,
            "name": name,
            "params": dict(params),
            "metrics": {k: v for k, v in metrics.items() if v is not None},
            "provenance": dict(provenance),
            "history": history,
            "artifacts": list(artifacts),
        },
    )


def read_runs(paths: Iterable[str | Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(file, run record) of each run, in order: a record as `write_record` wrote it, or that of results which
    are their own.

    The cells of one job (the draws of a few-shot setup), one after another in `paths`, are one run, named by
    the first file. Raises ValueError naming the file for what is neither record nor result.
    """
    contents = ((Path(path), read_json(path)) for path in paths)
    for _, group in groupby(contents, key=lambda one: _run(*one)):
        files, records = zip(*group, strict=True)
        if "objects" in records[0]:
            cells = [Cell.parse(content, path) for path, content in zip(files, records, strict=True)]
            yield files[0], _of_cells(cells, files)
        elif "top1" in records[0]:
            yield files[0], _of_linear(records[0], files[0])
        else:
            yield files[0], records[0]


def _run(path: Path, content: Any) -> str:
    """What files of one run have in common."""
    try:
        if "top1" in content:
            return str(path)
        key = content["provenance"]["run_key"] if "objects" in content else content["key"]
    except (KeyError, TypeError):
        key = ""
    if not key:
        raise ValueError(f"{path}: no run record; delete it and run the workflow again")
    return key


def _of_cells(cells: Sequence[Cell], files: Sequence[Path]) -> dict[str, Any]:
    """The record of one run, from all of its cells and their files."""
    first = cells[0]
    _, dataset, setup, _, part, pretraining, seed = first.provenance.run_key.split("/")
    params = {
        "pretraining": pretraining,
        "backbone": first.pretraining.backbone,
        "seed": first.pretraining.seed,
        "dataset": dataset,
        "setup": setup,
        "profile": first.profile,
        "part": part,
    }
    if setup == "2cls_fewshot":
        params["fewshot.shots"] = list(dict.fromkeys(cell.shots for cell in cells))
        params["fewshot.draws"] = len({cell.draw for cell in cells})
    options = {f"{first.detector_key}.{key}": value for key, value in first.provenance.options.items()}
    return {
        "schema": 1,
        "key": first.provenance.run_key,
        "experiment": f"{first.detector} {setup}",
        "name": f"{pretraining} {seed} {dataset} {first.profile} {part}",
        "params": {**params, **options},
        "metrics": mean_metrics(cells),
        "provenance": first.provenance.model_dump(mode="json", exclude={"options"}, exclude_unset=True),
        "history": None,
        "artifacts": [str(file) for file in files],
    }


def _of_linear(result: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The record of a result of the linear protocol."""
    name, seed = result["pretraining"], result["seed"]
    about = ("checkpoint", "sources", "code", "spd_version", "commit", "commit_date")
    return {
        "schema": 1,
        "key": f"linear/{name}/seed{seed}",
        "experiment": "linear protocol",
        "name": f"{name} seed{seed}",
        "params": {
            **{key: result[key] for key in ("pretraining", "seed", "protocol", "trained_on", "judged", "of")},
            "backbone": result["architecture"],
            "published": result["source"] or result["not_compared"],
            **{f"linear.{key}": value for key, value in (result["options"] or {}).items()},
        },
        "metrics": {
            f"linear_protocol/{key}": result[key] for key in ("top1", "published") if result[key] is not None
        },
        "provenance": {key: result.get(key) for key in about},
        "history": None,
        "artifacts": [str(file)],
    }


def mean_metrics(cells: Iterable[Cell]) -> dict[str, float]:
    """Unweighted means over the cells of each k and their objects, of cells of one run.

    `padim/au_roc` is of images, `padim/pixel_au_roc` of pixels, `unet/5shot_pixel_au_roc` of the draws of
    five shots. What no object has is left out.
    """
    values: dict[str, list[float]] = {}
    for cell in cells:
        shots = f"{cell.shots}shot_" if cell.shots else ""
        for result in cell.objects.values():
            for task, prefix in ((result.classification, ""), (result.segmentation, "pixel_")):
                for metric, value in (task.metrics if task else {}).items():
                    if value is not None:
                        name = f"{cell.detector_key}/{shots}{prefix}{WORDS[metric]}"
                        values.setdefault(name, []).append(value)
    return {name: sum(several) / len(several) for name, several in values.items()}
