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
    expected = snakemake.params.sha256
    # A file placed by hand is never downloaded, so this is where it is checked.
    if expected is not None and (found := file_sha256(options.checkpoint)) != expected:
        raise ValueError(
            f"{options.checkpoint}: its SHA-256 is {found}, expected {expected} (`weights` in config.yaml); "
            "delete the file and it is downloaded, or put the right one there"
        )
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
