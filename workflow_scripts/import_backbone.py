"""Turns weights from elsewhere into a backbone file."""

from pathlib import Path

from job import running

with running(snakemake):
    from spd.backbones.imports import import_backbone
    from spd.backbones.options import BackboneOptions
    from spd.provenance import code_version, file_sha256
    from spd.records import write_record

    name, row, seed = snakemake.wildcards.pretraining, snakemake.params.row, int(snakemake.wildcards.seed)
    options = BackboneOptions(**snakemake.params.source)
    if options.source == "random":
        options = options.model_copy(update={"seed": seed})
    print(import_backbone(options, snakemake.output.backbone))
    write_record(
        snakemake.output.record,
        key=f"backbone/{name}/seed{seed}",
        experiment="backbones",
        name=f"{name} seed{seed}",
        params={
            "method": row["label"],
            "spd": row["spd"],
            "backbone": options.architecture,
            "source": options.source,
            "seed": seed,
        },
        metrics={},
        provenance={
            "checkpoint": file_sha256(snakemake.output.backbone),
            **code_version(Path(snakemake.scriptdir) / "import_backbone.py"),
        },
    )
