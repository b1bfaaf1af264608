"""Writes the table of the linear protocol from its finished results."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.files import read_json
    from spd.report.linear import write_linear
    from spd.report.names import Names

    results = [read_json(path) for path in snakemake.input.results]
    names, out = Names(**snakemake.params.names), Path(snakemake.output[0]).parent
    files = write_linear(results, names, out, preset=snakemake.params.preset)
    params = {"title": "Linear protocol", "rows": len(results)}
    job.record("table/linear_protocol", "tables", "linear_protocol", params, artifacts=[*map(str, files)])
