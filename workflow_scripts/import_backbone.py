"""Turns weights from elsewhere into a backbone file."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.backbones.imports import import_backbone
    from spd.backbones.options import BackboneOptions
    from spd.data.options import expand
    from spd.files import file_sha256
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_backbone_record

    name, seed = snakemake.wildcards.pretraining, int(snakemake.wildcards.seed)
    options, expected = BackboneOptions(**snakemake.params.source, seed=seed), snakemake.params.sha256
    # A file placed by hand is never downloaded, so this is where it is checked.
    file = expand(options.checkpoint, f"pretrainings.{name}.source.checkpoint") if expected else None
    if file is not None and (found := file_sha256(file)) != expected:
        raise ValueError(
            f"{file}: its SHA-256 is {found}, expected {expected} (`weights` in config.yaml); "
            "delete the file and it is downloaded, or put the right one there"
        )
    code = code_version(Path(snakemake.scriptdir) / "import_backbone.py")
    sources = {"sources": {"import_backbone": code["code"]}}
    print(import_backbone(options, snakemake.output.backbone, provenance=sources))
    write_backbone_record(
        snakemake.output.record,
        snakemake.output.backbone,
        pretraining=name,
        seed=seed,
        params={"backbone": options.architecture, "source": options.source},
        provenance=code,
    )
