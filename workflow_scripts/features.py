"""Runs a backbone over an image cache and keeps the stages that detectors read."""

from job import cpus, running

with running(snakemake):
    from spd.features.extraction import extract

    device = snakemake.params.device
    extract(
        snakemake.input.backbone,
        snakemake.input.images,
        snakemake.params.stages,
        snakemake.output[0],
        **snakemake.params.options,
        device=None if device == "auto" else device,
        threads=cpus(snakemake),
    )
