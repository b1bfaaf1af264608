"""Decodes and resizes the images of a manifest once, for every backbone and detector."""

from urllib.parse import unquote

from job import cpus, running

with running(snakemake):
    from spd.datasets.manifest import read
    from spd.images.cache import write_cache
    from spd.images.options import GeometryOptions

    part = snakemake.wildcards.part
    write_cache(
        read(snakemake.input.manifest),
        None if part == "all" else [unquote(part)],
        GeometryOptions(**snakemake.params.geometry),
        snakemake.output[0],
        workers=cpus(snakemake),
    )
