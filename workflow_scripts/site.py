"""Writes the results page."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.report.cells import read_cells
    from spd.report.footer import let_through
    from spd.report.names import Names
    from spd.report.options import TableOptions
    from spd.report.scored import Scored
    from spd.report.site import Backbone, Sources, TableFiles, write_site
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    files, params = snakemake.input, snakemake.params
    names = Names(**params.names)
    tables = [
        TableFiles(
            name,
            TableOptions(**table["options"]),
            Path(csv),
            [Path(path) for path in table["cells"]],
            let_through(table["manifests"], names),
        )
        for (name, table), csv in zip(params.tables.items(), files.tables, strict=True)
    ]
    sources = Sources(
        tables=tables,
        overview=Path(files.overview),
        claims=Path(files.claims),
        backbones=[
            Backbone(Path(record), Path(history) if history else None) for record, history in params.backbones
        ],
        scored=[
            Scored(cell, Path(images), Path(maps))
            for cell, images, maps in zip(
                read_cells(files.cells, names), files.images, files.maps, strict=True
            )
        ],
        figures=Path(files.figures),
        notices=params.notices,
        names=names,
        linear=params.linear,
        generated=params.generated,
    )
    page = write_site(sources, Path(snakemake.output.page).parent, preset=params.preset)
    job.say(f"open {page}")
    write_record(
        snakemake.output.record,
        key="site",
        experiment="pictures",
        name="site",
        params={"tables": len(tables), "cells": len(files.runs), "pictures": len(sources.scored)},
        metrics={"site/bytes": page.stat().st_size},
        provenance=code_version(Path(snakemake.scriptdir) / "site.py"),
    )
