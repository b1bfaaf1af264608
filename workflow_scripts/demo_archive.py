"""Draws one archive of the demo."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from demo_data.archives import write_classes, write_mvtec, write_visa
    from spd.data.demo_options import DemoOptions
    from spd.data.fingerprint import archive_fingerprint

    write = {"visa.tar": write_visa, "mvtec.tar.xz": write_mvtec, "classes.tar": write_classes}
    folder, archive = snakemake.wildcards.folder, snakemake.wildcards.archive
    options = DemoOptions(**snakemake.params.options)
    write[archive](snakemake.output.archive, options)
    job.record(
        f"demo_archive/{folder}/{archive}",
        "archives",
        f"draw {archive}",
        {"seed": options.seed, "sha256": archive_fingerprint(snakemake.output.archive)},
        metrics={"archive/bytes": Path(snakemake.output.archive).stat().st_size},
    )
