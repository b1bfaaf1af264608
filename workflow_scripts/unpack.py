"""Unpacks an archive into its folder, whole or not at all."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.data.archive import unpack
    from spd.data.options import ArchiveOptions
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    options = ArchiveOptions(file=snakemake.params.archive, **snakemake.params.options)
    archive, (max_files, max_bytes) = Path(options.file), options.bounds()
    if not archive.is_file() and archive != Path(snakemake.input[0]):
        raise ValueError(
            f"{archive}: deleted since its hash was checked; delete {snakemake.input[0]} to fetch it again"
        )
    inventory = unpack(
        archive,
        snakemake.wildcards.folder,
        max_files=max_files,
        max_bytes=max_bytes,
        sha256=options.sha256,
        nested=options.nested,
    )
    write_record(
        snakemake.output[0],
        key=f"unpack/{Path(snakemake.wildcards.folder).name}",
        experiment="archives",
        name=f"unpack {archive.name}",
        params={"archive": inventory["archive"]},
        metrics={"unpacked/files": inventory["files"], "unpacked/bytes": inventory["bytes"]},
        provenance=code_version(Path(snakemake.scriptdir) / "unpack.py"),
    )
