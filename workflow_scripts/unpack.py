"""Unpacks an archive into its folder, whole or not at all."""

from pathlib import Path

from job import running

with running(snakemake):
    from spd.datasets.archive import unpack
    from spd.datasets.options import ArchiveOptions

    options = ArchiveOptions(**snakemake.params.archive)
    target = Path(snakemake.output[0]).parent
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()  # Snakemake makes the folder of an output; unpack renames a whole one into place
    unpack(
        snakemake.input[0],
        target,
        max_files=options.limits.max_files,
        max_bytes=options.limits.max_bytes,
        sha256=options.sha256,
        nested=options.nested,
    )
