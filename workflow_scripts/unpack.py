"""Unpacks an archive into its folder, whole or not at all."""

from job import running

with running(snakemake):
    from spd.datasets.archive import unpack
    from spd.datasets.options import ArchiveOptions
    from spd.records import write_json

    options = ArchiveOptions(**snakemake.params.archive)
    max_files, max_bytes = options.bounds()
    inventory = unpack(
        snakemake.input[0],
        snakemake.wildcards.folder,
        max_files=max_files,
        max_bytes=max_bytes,
        sha256=options.sha256,
        nested=options.nested,
    )
    write_json(snakemake.output[0], inventory)
