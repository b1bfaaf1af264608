"""Fits a detector on each object, scores its test images, measures: one cell of the tables."""

from pathlib import Path

from workflow_scripts.common.job import running
from workflow_scripts.common.staging import staged

with running(snakemake):
    from spd.files import file_sha256, read_json, write_json

    from spd.backbones.files import read_metadata
    from spd.data.cache import ImageCache
    from spd.detectors.evaluation import LABELS, METRIC, evaluate, mean_metrics
    from spd.detectors.registry import OPTIONS
    from spd.features.store import Features
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    at, params, files = snakemake.wildcards, snakemake.params, snakemake.input
    options = OPTIONS[at.detector](**params.options)
    with staged(files.features, snakemake.resources.get("scratch")) as features:
        objects = evaluate(at.detector, options, files.images, features, snakemake.output.maps)
    backbone, cache = read_metadata(files.backbone), ImageCache(files.images)
    key = f"cell/{at.dataset}/{at.setup}/{at.detector}-{at.profile}/{at.part}/{at.pretraining}/seed{at.seed}"
    provenance = {
        "preset": params.preset,
        **code_version(Path(snakemake.scriptdir) / "detect.py"),
        "pretraining_code": backbone.more.get("code"),
        "pretraining_notes": backbone.more.get("notes", []),
        # The stages before: results of two versions of any of them must not pass for one.
        "sources": {**backbone.more.get("sources", {}), **cache.sources, **Features(files.features).sources},
        "split_hash": cache.split_hash,
        "data_fingerprint": read_json(files.sidecar)["fingerprint"],
        "checkpoint": file_sha256(files.backbone),
        "geometry": params.geometry,
        "metric": METRIC,
        "run_key": key,
    }
    pretraining = {"name": at.pretraining, "backbone": backbone.architecture, "seed": int(at.seed)}
    cell = {
        "schema": 1,
        "dataset": at.dataset,
        "setup": at.setup,
        "detector": LABELS[at.detector],
        "profile": at.profile,
        "pretraining": pretraining,
        "shots": None,
        "draw": None,
        "objects": objects,
        "provenance": {**provenance, "options": params.options},
    }
    write_json(snakemake.output.cell, cell)
    write_record(
        snakemake.output.record,
        key=key,
        experiment=f"{LABELS[at.detector]} {at.setup}",
        name=f"{at.pretraining} seed{at.seed} {at.dataset} {at.profile} {at.part}",
        params={
            "pretraining": at.pretraining,
            "backbone": backbone.architecture,
            "seed": int(at.seed),
            "dataset": at.dataset,
            "setup": at.setup,
            "profile": at.profile,
            "part": at.part,
            **{f"{at.detector}.{option}": value for option, value in params.options.items()},
        },
        metrics=mean_metrics(at.detector, objects),
        provenance=provenance,
        artifacts=(snakemake.output.cell,),
    )
