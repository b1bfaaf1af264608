"""Downloads a published archive or checkpoint, or accepts the one that lies there if its hash is right."""

from pathlib import Path

from job import running

with running(snakemake):
    from spd.datasets.download import download
    from spd.datasets.options import ArchiveOptions
    from spd.provenance import code_version
    from spd.records import write_record

    options = ArchiveOptions(**snakemake.params.archive, url=snakemake.resources.url)
    file = download(options, snakemake.wildcards.archive)
    write_record(
        snakemake.output[0],
        key=f"download/{file.name}",
        experiment="archives",
        name=f"download {file.name}",
        params={"file": file.name, "sha256": options.sha256},
        metrics={"archive/bytes": file.stat().st_size},
        provenance=code_version(Path(snakemake.scriptdir) / "download.py"),
    )
