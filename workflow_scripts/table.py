"""Builds one table of config.yaml from its cells."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.linear_protocol.published import notes
    from spd.report.cells import read_cells
    from spd.report.footer import let_through
    from spd.report.names import Names
    from spd.report.options import TableOptions
    from spd.report.tables import write_table
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    name = snakemake.params.table
    options = TableOptions(**snakemake.params.options)
    names, out = Names(**snakemake.params.names), Path(snakemake.output[0]).parent
    cells = read_cells(snakemake.input.cells, names, notes(snakemake.params.linear))
    data = let_through(snakemake.input.manifests, names)
    write_table(cells, name, options, out, data=data, generated=snakemake.params.generated)
    write_record(
        snakemake.output.record,
        key=f"table/{name}",
        experiment="tables",
        name=name,
        params={"title": options.title, "rows": len(options.rows), "cells": len(snakemake.input.cells)},
        metrics={},
        provenance=code_version(Path(snakemake.scriptdir) / "table.py"),
        artifacts=tuple(path for path in snakemake.output if path != snakemake.output.record),
    )
