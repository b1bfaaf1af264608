"""Writes the table of the linear protocol from its finished results."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.files import read_json
    from spd.report.linear import write_linear
    from spd.report.names import Names
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

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
