"""Fits a detector on each object, scores its test images, measures: one cell of the tables."""

from pathlib import Path

from job import running
from staging import staged

with running(snakemake):
    from spd.backbones.files import read_metadata
    from spd.detectors.registry import OPTIONS
    from spd.evaluation import LABELS, METRIC, evaluate
    from spd.images.cache import ImageCache
    from spd.provenance import code_version, file_sha256
    from spd.records import read_json, write_json, write_record

    at, row, preset = snakemake.wildcards, snakemake.params.row, snakemake.params.preset
    seed = int(at.seed)
    backbone = read_metadata(snakemake.input.backbone)
    with staged(snakemake.input.features, snakemake.resources.get("scratch")) as features:
        objects = evaluate(
            at.detector,
            OPTIONS[at.detector](**snakemake.params.options),
            snakemake.input.images,
            features,
            snakemake.output.maps,
        )
    key = f"cell/{at.dataset}/{at.setup}/{at.detector}-{at.profile}/{at.part}/{at.pretraining}/seed{seed}"
    provenance = {
        "preset": preset,
        **code_version(Path(snakemake.scriptdir) / "detect.py"),
        "pretraining_code": backbone.more.get("code"),
        "split_hash": ImageCache(snakemake.input.images).split_hash,
        "data_fingerprint": read_json(snakemake.input.sidecar)["fingerprint"],
        "checkpoint": file_sha256(snakemake.input.backbone),
        "geometry": snakemake.params.geometry,
        "metric": METRIC,
        "run_key": key,
    }
    pretraining = {
        "name": at.pretraining,
        "label": row["label"],
        "method": row["label"],
        "spd": row["spd"],
        "backbone": backbone.architecture,
        "labels": row["labels"],
        "seed": seed,
    }
    cell = {
        "schema": 1,
        "dataset": snakemake.params.dataset,
        "setup": at.setup,
        "detector": LABELS[at.detector],
        "profile": at.profile,
        "pretraining": pretraining,
        "shots": None,
        "draw": None,
        "objects": objects,
        "provenance": provenance,
    }
    write_json(snakemake.output.cell, cell)

    def mean(task, metric):
        values = [result[task][metric] for result in objects.values() if result[task] is not None]
        values = [value for value in values if value is not None]
        return sum(values) / len(values) if values else None

    group = at.detector
    names = {"AU-ROC": "au_roc", "AU-PR": "au_pr", "AP": "ap", "F1-max": "f1_max"}
    write_record(
        snakemake.output.record,
        key=key,
        experiment=f"{LABELS[at.detector]} {at.setup}",
        name=f"{at.pretraining} seed{seed} {snakemake.params.dataset} {at.profile} {at.part}",
        params={
            **{k: v for k, v in pretraining.items() if k != "label"},
            "dataset": snakemake.params.dataset,
            "setup": at.setup,
            "profile": at.profile,
            "part": at.part,
            **{f"{group}.{option}": value for option, value in snakemake.params.options.items()},
        },
        metrics={
            **{f"{group}/{name}": mean("classification", metric) for metric, name in names.items()},
            **{
                f"{group}/pixel_{name}": mean("segmentation", metric)
                for metric, name in {**names, "AU-PRO": "au_pro"}.items()
            },
        },
        provenance=provenance,
        artifacts=(snakemake.output.cell,),
    )
