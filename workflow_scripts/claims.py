"""Tests the poster's claims on the tables."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.report.claims import write_claims
    from spd.report.site import read_table
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    write_claims(
        {Path(path).stem: read_table(path) for path in snakemake.input.tables},
        Path(snakemake.output[0]).parent,
        preset=snakemake.params.preset,
        generated=snakemake.params.generated,
    )
    write_record(
        snakemake.output.record,
        key="table/claims",
        experiment="tables",
        name="claims",
        params={"title": "Claims of the poster, tested", "tables": len(snakemake.input.tables)},
        metrics={},
        provenance=code_version(Path(snakemake.scriptdir) / "claims.py"),
        artifacts=tuple(path for path in snakemake.output if path != snakemake.output.record),
    )
