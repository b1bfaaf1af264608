"""Unpacks an archive into its folder, whole or not at all."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.data.archive import unpack
    from spd.data.options import ArchiveOptions

    options = ArchiveOptions(file=snakemake.params.archive, **snakemake.params.options)
    archive, (max_files, max_bytes) = Path(options.file), options.bounds()
    folder = snakemake.wildcards.folder
    if not archive.is_file() and archive != Path(snakemake.input[0]):
        raise ValueError(
            f"{archive}: deleted since its hash was checked; delete {snakemake.input[0]} to fetch it again"
        )
    limits = {"max_files": max_files, "max_bytes": max_bytes}
    inventory = unpack(archive, folder, **limits, sha256=options.sha256, nested=options.nested)
    job.record(
        f"unpack/{Path(folder).name}",
        "archives",
        f"unpack {archive.name}",
        {"archive": inventory["archive"]},
        metrics={"unpacked/files": inventory["files"], "unpacked/bytes": inventory["bytes"]},
    )
