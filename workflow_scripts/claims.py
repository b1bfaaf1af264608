"""Tests the poster's claims on the tables."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.report.claims import write_claims
    from spd.report.site import read_table

    write_claims(
        {Path(path).stem: read_table(path) for path in snakemake.input.tables},
        Path(snakemake.output[0]).parent,
        preset=snakemake.params.preset,
        generated=snakemake.params.generated,
    )
    params = {"title": "Claims of the poster, tested", "tables": len(snakemake.input.tables)}
    job.record("table/claims", "tables", "claims", params, artifacts=snakemake.output[:-1])
