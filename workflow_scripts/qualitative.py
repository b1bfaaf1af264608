"""Draws the qualitative figures of every object and pair, and the curves."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake):
    from spd.report.cells import read_cells
    from spd.report.names import Names
    from spd.report.qualitative import write_figures
    from spd.report.scored import Scored
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    files = snakemake.input
    cells = read_cells(files.cells, Names(**snakemake.params.names))
    write_figures(
        [
            Scored(cell, Path(images), Path(maps))
            for cell, images, maps in zip(cells, files.images, files.maps, strict=True)
        ],
        dict(zip(snakemake.params.labels, files.histories, strict=True)),
        snakemake.output.figures,
        footer=" ".join(snakemake.params.notices),
    )
    write_record(
        snakemake.output.record,
        key="qualitative",
        experiment="pictures",
        name="qualitative",
        params={"cells": len(cells), "histories": len(files.histories)},
        metrics={"figures/files": sum(path.is_file() for path in Path(snakemake.output.figures).rglob("*"))},
        provenance=code_version(Path(snakemake.scriptdir) / "qualitative.py"),
    )
