"""Draws one archive of the demo."""

import sys
from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    sys.path.append(str(Path(snakemake.scriptdir).parent))  # demo_data is not installed
    from demo_data.archives import write_classes, write_mvtec, write_visa
    from spd.data.demo_options import DemoOptions
    from spd.data.fingerprint import archive_fingerprint
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    write = {"visa.tar": write_visa, "mvtec.tar.xz": write_mvtec, "classes.tar": write_classes}
    folder, archive = snakemake.wildcards.folder, snakemake.wildcards.archive
    write[archive](snakemake.output.archive, DemoOptions(**snakemake.params.options))
    write_record(
        snakemake.output.record,
        key=f"demo_archive/{folder}/{archive}",
        experiment="archives",
        name=f"draw {archive}",
        params={
            "seed": snakemake.params.options["seed"],
            "sha256": archive_fingerprint(snakemake.output.archive),
        },
        metrics={"archive/bytes": Path(snakemake.output.archive).stat().st_size},
        provenance=code_version(Path(snakemake.scriptdir) / "demo_archive.py"),
    )
