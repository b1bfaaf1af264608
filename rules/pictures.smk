"""Tables, maps and histories -> claims, figures, and the results page."""


localrules:
    claims,
    site,


rule claims:
    """Each take-away of the poster and the sign of each published effect, tested on the tables at hand."""
    input:
        tables=[f"{RESULTS}/tables/{name}.csv" for name in experiment.tables],
    output:
        table_files("claims", "claims", "Claims", "Claims of the poster, tested"),
        record=f"{RESULTS}/records/tables/claims.json",
    log:
        f"{RESULTS}/logs/tables/claims.log",
    params:
        preset=experiment.preset,
        templates=TEMPLATES,
        generated=generated(used_datasets()),
        code=stage_code("claims"),
    script:
        "../workflow_scripts/claims.py"


rule qualitative:
    """Images, masks and heat maps without and with SPD; ROC, precision-recall and training curves."""
    input:
        cells=[cell for cell, _, _ in SCORED],
        maps=[maps for _, maps, _ in SCORED],
        images=[images for _, _, images in SCORED],
        histories=HISTORIES,
    output:
        figures=report(
            directory(f"{RESULTS}/figures"),
            patterns=["{figure}.png"],
            caption="captions/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        record=f"{RESULTS}/records/qualitative.json",
    log:
        f"{RESULTS}/logs/qualitative.log",
    params:
        labels=[
            f"{name}, seed {seed}" for (name, seed), (_, history) in PICTURED.items() if history is not None
        ],
        notices=[
            experiment.datasets[name].notice for name in used_datasets() if experiment.datasets[name].notice
        ],
        names=names(used_datasets(), used_pretrainings()),
        code=stage_code("qualitative"),
    script:
        "../workflow_scripts/qualitative.py"


rule site:
    """One static page of everything: open results/<preset>/index.html."""
    input:
        tables=[f"{RESULTS}/tables/{name}.csv" for name in experiment.tables],
        runs=[path for table in experiment.tables.values() for path in cell_paths(table)],
        manifests=[path for table in experiment.tables.values() for path in manifest_records(table)],
        overview=f"{RESULTS}/tables/dataset_overview.csv",
        claims=f"{RESULTS}/tables/claims.csv",
        records=[record for record, _ in PICTURED.values()],
        histories=HISTORIES,
        cells=rules.qualitative.input.cells,
        maps=rules.qualitative.input.maps,
        images=rules.qualitative.input.images,
        figures=rules.qualitative.output.figures,
    output:
        page=f"{RESULTS}/index.html",
        pictures=directory(f"{RESULTS}/site"),
        record=f"{RESULTS}/records/site.json",
    log:
        f"{RESULTS}/logs/site.log",
    params:
        preset=experiment.preset,
        tables={
            name: {
                "options": table_options(table),
                "cells": cell_paths(table),
                "manifests": manifest_records(table),
            }
            for name, table in experiment.tables.items()
        },
        backbones=list(PICTURED.values()),
        notices=rules.qualitative.params.notices,
        generated=generated(used_datasets()),
        names=names(used_datasets(), used_pretrainings()),
        linear=linear_results(used_pretrainings()),
        templates=TEMPLATES,
        code=stage_code("site"),
    script:
        "../workflow_scripts/site.py"
