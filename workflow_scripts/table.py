"""Builds one table of config.yaml from its cells."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.linear_protocol.published import notes
    from spd.report.cells import read_cells
    from spd.report.footer import let_through
    from spd.report.names import Names
    from spd.report.options import TableOptions
    from spd.report.tables import write_table

    name, params, files = snakemake.params.table, snakemake.params, snakemake.input
    options, names = TableOptions(**params.options), Names(**params.names)
    cells = read_cells(files.cells, names, notes(params.linear))
    out, data = Path(snakemake.output[0]).parent, let_through(files.manifests, names)
    write_table(cells, name, options, out, data=data, generated=params.generated)
    about = {"title": options.title, "rows": len(options.rows), "cells": len(cells)}
    job.record(f"table/{name}", "tables", name, about, artifacts=snakemake.output[:-1])
