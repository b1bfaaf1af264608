"""Writes the results page."""

from pathlib import Path

from workflow_scripts.common.job import running

with running(snakemake) as job:
    from spd.report.footer import let_through
    from spd.report.names import Names
    from spd.report.options import TableOptions
    from spd.report.scored import read_scored
    from spd.report.site import Backbone, Sources, TableFiles, write_site

    files, params = snakemake.input, snakemake.params
    names = Names(**params.names)
    tables = [
        TableFiles(
            name,
            TableOptions(**table["options"]),
            Path(csv),
            [*map(Path, table["cells"])],
            let_through(table["manifests"], names),
        )
        for (name, table), csv in zip(params.tables.items(), files.tables, strict=True)
    ]
    scored = read_scored(files.cells, files.images, files.maps, names)
    sources = Sources(
        tables=tables,
        overview=Path(files.overview),
        claims=Path(files.claims),
        backbones=[Backbone(Path(record), history and Path(history)) for record, history in params.backbones],
        scored=scored,
        figures=Path(files.figures),
        notices=params.notices,
        names=names,
        linear=params.linear,
        generated=params.generated,
    )
    page = write_site(sources, Path(snakemake.output.page).parent, preset=params.preset)
    job.say(f"open {page}")
    about = {"tables": len(tables), "cells": len(files.runs), "pictures": len(scored)}
    job.record("site", "pictures", "site", about, metrics={"site/bytes": page.stat().st_size})
