"""Downloads a published archive or checkpoint, or accepts the one that lies there if its hash is right."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.data.download import download
    from spd.data.options import ArchiveOptions
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

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
