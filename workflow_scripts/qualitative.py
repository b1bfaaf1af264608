"""Draws the qualitative figures of every object and pair, and the curves."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.report.names import Names
    from spd.report.qualitative import write_figures
    from spd.report.scored import read_scored

    files, params, figures = snakemake.input, snakemake.params, Path(snakemake.output.figures)
    scored = read_scored(files.cells, files.images, files.maps, Names(**params.names))
    histories = dict(zip(params.labels, files.histories, strict=True))
    write_figures(scored, histories, figures, footer=" ".join(params.notices))
    job.record(
        "qualitative",
        "pictures",
        "qualitative",
        {"cells": len(scored), "histories": len(files.histories)},
        metrics={"figures/files": sum(path.is_file() for path in figures.rglob("*"))},
    )
