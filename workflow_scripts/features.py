"""Runs a backbone over an image cache and keeps the stages that detectors read."""

from pathlib import Path

from workflow_scripts.common.job import cpus, running

with running(snakemake) as job:
    from spd.backbones.files import read_metadata
    from spd.features.extraction import extract
    from spd.features.store import Features
    from spd.files import file_sha256

    at, params, backbone = snakemake.wildcards, snakemake.params, snakemake.input.backbone
    features = snakemake.output.features
    extract(
        backbone,
        snakemake.input.images,
        params.stages,
        features,
        **params.options,
        device=None if params.device == "auto" else params.device,
        threads=cpus(snakemake),
        sources={"features": job.provenance["code"]},
    )
    job.record(
        f"features/{at.dataset}/{at.setup}/{at.geometry}/{at.part}/{at.pretraining}/seed{at.seed}",
        "features",
        f"{at.pretraining} seed{at.seed} {at.dataset} {at.geometry} {at.part}",
        {
            **dict(at.items()),
            "seed": int(at.seed),
            "backbone": read_metadata(backbone).architecture,
            "stages": ", ".join(params.stages),
            **params.options,
        },
        {"checkpoint": file_sha256(backbone), "split_hash": Features(features).cache["split_hash"]},
        metrics={"features/bytes": Path(features).stat().st_size},
    )
