"""Writes the table of the linear protocol from its finished results."""

from pathlib import Path

from job import running

with running(snakemake):
    from spd.names import Names
    from spd.provenance import code_version
    from spd.records import read_json, write_record
    from spd.report.linear import write_linear

    records = [read_json(path) for path in snakemake.input.results]
    files = write_linear(
        records,
        Names(**snakemake.params.names),
        Path(snakemake.output[0]).parent,
        preset=snakemake.params.preset,
    )
    write_record(
        snakemake.output.record,
        key="table/linear_protocol",
        experiment="tables",
        name="linear_protocol",
        params={"title": "Linear protocol", "rows": len(records)},
        metrics={},
        provenance=code_version(Path(snakemake.scriptdir) / "linear_protocol.py"),
        artifacts=tuple(map(str, files)),
    )
