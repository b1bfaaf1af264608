"""Runs a backbone over an image cache and keeps the stages that detectors read."""

from pathlib import Path

from workflow_scripts.common.job import cpus, running

with running(snakemake):
    from spd.backbones.files import read_metadata
    from spd.features.extraction import extract
    from spd.features.store import Features
    from spd.files import file_sha256
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    at, params = snakemake.wildcards, snakemake.params
    code = code_version(Path(snakemake.scriptdir) / "features.py")
    extract(
        snakemake.input.backbone,
        snakemake.input.images,
        params.stages,
        snakemake.output.features,
        **params.options,
        device=None if params.device == "auto" else params.device,
        threads=cpus(snakemake),
        sources={"features": code["code"]},
    )
    write_record(
        snakemake.output.record,
        key=f"features/{at.dataset}/{at.setup}/{at.geometry}/{at.part}/{at.pretraining}/seed{at.seed}",
        experiment="features",
        name=f"{at.pretraining} seed{at.seed} {at.dataset} {at.geometry} {at.part}",
        params={
            "pretraining": at.pretraining,
            "seed": int(at.seed),
            "backbone": read_metadata(snakemake.input.backbone).architecture,
            "dataset": at.dataset,
            "setup": at.setup,
            "geometry": at.geometry,
            "part": at.part,
            "stages": ", ".join(params.stages),
            **params.options,
        },
        metrics={"features/bytes": Path(snakemake.output.features).stat().st_size},
        provenance={
            "checkpoint": file_sha256(snakemake.input.backbone),
            "split_hash": Features(snakemake.output.features).cache["split_hash"],
            **code,
        },
    )
