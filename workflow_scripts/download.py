"""Downloads a published archive, or accepts the one that lies there."""

from job import running

with running(snakemake):
    from spd.datasets.download import download
    from spd.datasets.options import ArchiveOptions

    download(ArchiveOptions(**snakemake.params.archive), snakemake.output[0])
