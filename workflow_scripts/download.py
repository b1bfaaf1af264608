"""Downloads a published archive or checkpoint, or accepts the one that lies there if its hash is right."""

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.data.download import download
    from spd.data.options import ArchiveOptions

    options = ArchiveOptions(**snakemake.params.archive, url=snakemake.resources.url)
    file = download(options, snakemake.wildcards.archive)
    job.record(
        f"download/{file.name}",
        "archives",
        f"download {file.name}",
        {"file": file.name, "sha256": options.sha256},
        metrics={"archive/bytes": file.stat().st_size},
    )
