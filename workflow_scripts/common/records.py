"""Run records: what each stage says of itself, as JSON, before anybody's tracking server is asked.

A record is written by a job without importing mlflow; `workflow_scripts.common.tracking` turns records into runs. A record
holds nothing that changes between identical runs: no clock times, no host names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spd.files import file_sha256, write_json
from spd.files import read_json as read_json  # some import it from here


def write_record(
    path: str | Path,
    *,
    key: str,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    provenance: Mapping[str, Any],
    history: str | None = None,
    artifacts: tuple[str, ...] = (),
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


def write_backbone_record(
    path: str | Path,
    backbone: str | Path,
    *,
    pretraining: str,
    seed: int,
    params: Mapping[str, Any],
    provenance: Mapping[str, Any],
    metrics: Mapping[str, float | None] | None = None,
    history: str | None = None,
) -> None:
    """Writes the record of the backbone file `backbone`, trained here or from elsewhere.

    pretraining: its key in the config; what it is called is put in where the run is shown (`spd.report.names`).
    """
    write_record(
        path,
        key=f"backbone/{pretraining}/seed{seed}",
        experiment="backbones",
        name=f"{pretraining} seed{seed}",
        params={"pretraining": pretraining, "seed": seed, **params},
        metrics=metrics or {},
        provenance={"checkpoint": file_sha256(backbone), **provenance},
        history=history,
    )
