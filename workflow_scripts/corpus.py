"""Decodes the pre-training images once into one memory map."""

from job import cpus, running

with running(snakemake):
    from spd.corpus import pack
    from spd.datasets.manifest import read

    pack(read(snakemake.input.manifest), snakemake.params.size, snakemake.output[0], workers=cpus(snakemake))
