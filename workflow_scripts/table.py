"""Builds one table of config.yaml from its cells."""

from pathlib import Path

from job import running

with running(snakemake):
    from spd.names import Names
    from spd.provenance import code_version
    from spd.records import write_record
    from spd.report.cells import read_cells
    from spd.report.options import TableOptions
    from spd.report.tables import write_table

    name = snakemake.params.table
    options = TableOptions(**snakemake.params.options)
    cells = read_cells(snakemake.input.cells, Names(**snakemake.params.names))
    out, generated = Path(snakemake.output[0]).parent, snakemake.params.generated
    write_table(cells, name, options, out, generated=generated)
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
