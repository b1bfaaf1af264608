"""The runs in MLflow: which records they are made of, in which order, and what each shows besides."""

import hashlib
import math
import os
from collections.abc import Callable
from typing import Any

from spd.config.design import Design
from workflow_scripts.common.external_files import ExternalFiles


def server() -> str | None:
    """Stands for MLFLOW_TRACKING_URI, which may hold a password; None where no server is used."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return None if uri is None else hashlib.sha256(uri.encode()).hexdigest()[:12]


def records(design: Design, external: ExternalFiles, folder: str) -> list[str]:
    """Every stage's records in the order in which runs appear: data, backbones, cells, and what shows them.

    folder: the preset's results.
    """
    found = []
    for name in design.datasets:
        if archive := external.archives.get(name):
            found += [f"{archive}.verified"] if archive in external.downloads else []
            found += [f"{archive}.json"] if design.experiment.datasets[name].archive.generated else []
            found.append(external.inventory(name))
    at = f"{folder}/records"
    found += [f"{at}/examined/{name}.json" for name, _ in design.manifests]
    found += [f"{at}/manifests/{name}-{setup}.json" for name, setup in design.manifests]
    found += [f"{at}/draws/{cell.dataset}.json" for cell in design.cells() if cell.setup == "2cls_fewshot"]
    found += [f"{at}/corpus.json", f"{at}/views.json"] if design.trained else []
    for backbone in design.backbones:
        checkpoint = external.checkpoints.get(backbone.pretraining)
        found += [f"{checkpoint}.verified"] if checkpoint in external.downloads else []
        found.append(f"{folder}/{backbone.record}")
    for cell in design.cells():
        found.append(f"{at}/images/{cell.images_job}.json")
        found += [] if cell.two_class else [f"{at}/features/{cell.features_job}.json"]
        found.append(f"{folder}/{cell.path}")
    tables = ["dataset_overview", *design.experiment.tables, "claims"]
    found += [f"{at}/tables/{name}.json" for name in tables]
    return list(dict.fromkeys([*found, f"{at}/qualitative.json", f"{at}/site.json"]))


def attachments(
    design: Design, folder: str, training_job: Callable[[str, int], str]
) -> dict[str, dict[str, Any]]:
    """Record -> what its run in MLflow shows besides: what its job cost, tables, pictures, weights.

    training_job: (pre-training, seed) -> name of the job that trains it.
    """
    found: dict[str, dict[str, Any]] = {}

    def measured(job: str) -> dict[str, str]:
        """Where Snakemake and a job leave what the job cost, and Slurm's number for it."""
        return {"benchmark": f"{folder}/benchmarks/{job}.tsv", "job": f"{folder}/logs/{job}.slurm"}

    for backbone in design.backbones:
        name, seed = backbone
        ours = design.trains(name)
        found[f"{folder}/{backbone.record}"] = {
            **measured(training_job(name, seed) if ours else f"import_backbone/{name}-seed{seed}"),
            "gpus": math.prod(design.experiment.compute.of(name)) if ours else 0,
            "backbone": f"{folder}/{backbone.path}",
            "views": f"{folder}/views/{name}.png" if ours else None,
        }
    pictured, first = set(design.pictured), {}
    for name in design.experiment.tables:
        for cell in design.cells(name):
            job = measured(f"{cell.stage}/{cell.job}")
            if cell.two_class:  # the cells of one job are one run, named by the first
                cell = first.setdefault(cell.job, cell)
            entry = found.setdefault(f"{folder}/{cell.path}", {**job, "tables": []})
            if name not in entry["tables"]:
                entry["tables"].append(name)
            if cell in pictured:
                shown = design.experiment.datasets[cell.dataset].name
                label = design.experiment.detector(cell.detector).label
                view = [shown, cell.setup, label, cell.profile]
                entry["heat_maps"] = [view, cell.pretraining]
            if not cell.two_class:
                record = f"{folder}/records/features/{cell.features_job}.json"
                found[record] = measured(f"features/{cell.features_job}")
    return found
