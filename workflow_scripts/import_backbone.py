"""Turns weights from elsewhere into a backbone file."""

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.backbones.imports import import_backbone
    from spd.backbones.options import BackboneOptions
    from spd.data.options import expand
    from spd.files import file_sha256

    name, seed = snakemake.wildcards.pretraining, int(snakemake.wildcards.seed)
    options, expected = BackboneOptions(**snakemake.params.source, seed=seed), snakemake.params.sha256
    # A file placed by hand is never downloaded, so this is where it is checked.
    file = expand(options.checkpoint, f"pretrainings.{name}.source.checkpoint") if expected else None
    if file is not None and (sha256 := file_sha256(file)) != expected:
        raise ValueError(
            f"{file}: its SHA-256 is {sha256}, expected {expected} (`weights` in config.yaml); "
            "delete the file and it is downloaded, or put the right one there"
        )
    sources = {"sources": {"import_backbone": job.provenance["code"]}}
    print(import_backbone(options, snakemake.output.backbone, provenance=sources))
    job.record(
        f"backbone/{name}/seed{seed}",
        "backbones",
        f"{name} seed{seed}",
        {"pretraining": name, "seed": seed, "backbone": options.architecture, "source": options.source},
        {"checkpoint": file_sha256(snakemake.output.backbone)},
    )
