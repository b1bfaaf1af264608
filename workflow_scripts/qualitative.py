"""Draws the qualitative figures of every object and pair, and the curves."""

from pathlib import Path

from job import running

with running(snakemake):
    from spd.report.cells import read_cells
    from spd.report.qualitative import write_figures
    from spd.report.scored import Scored

    files = snakemake.input
    write_figures(
        [
            Scored(cell, Path(images), Path(maps))
            for cell, images, maps in zip(read_cells(files.cells), files.images, files.maps, strict=True)
        ],
        dict(zip(snakemake.params.labels, files.histories, strict=True)),
        snakemake.output[0],
        footer=" ".join(snakemake.params.notices),
    )
