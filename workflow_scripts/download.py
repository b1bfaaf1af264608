"""Downloads a published archive, or accepts the one that lies there."""

from job import running

with running(snakemake):
    from spd.datasets.download import download
    from spd.datasets.options import ArchiveOptions

    options = ArchiveOptions(**snakemake.params.archive, url=snakemake.resources.url)
    download(options, snakemake.output[0])
