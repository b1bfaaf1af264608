"""Tables, maps and histories -> claims, figures, and the results page."""


localrules:
    claims,
    site,


HISTORIES = [results(one.history) for one in design.evaluated if design.trains(one.pretraining)]


rule claims:
    """Each take-away of the poster and the sign of each published effect, tested on the tables at hand."""
    input:
        tables=[results(f"tables/{name}.csv") for name in experiment.tables],
    output:
        table_files("claims", "claims", "Claims", "Claims of the poster, tested"),
        record=results("records/tables/claims.json"),
    log:
        results("logs/tables/claims.log"),
    params:
        preset=experiment.preset,
        takeaways=TAKEAWAYS,
        templates=TEMPLATES,
        generated=design.generated(design.datasets),
        code=stage_code("claims"),
    script:
        "../workflow_scripts/claims.py"


rule qualitative:
    """Images, masks and heat maps without and with SPD; ROC, precision-recall and training curves."""
    input:
        cells=[results(cell.path) for cell in design.pictured],
        maps=[results(cell.maps) for cell in design.pictured],
        images=[results(cell.images) for cell in design.pictured],
        histories=HISTORIES,
    output:
        figures=report(
            directory(results("figures")),
            patterns=["{figure}.png"],
            caption="captions/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        record=results("records/qualitative.json"),
    log:
        results("logs/qualitative.log"),
    params:
        labels=[f"{name}, seed {seed}" for name, seed in design.evaluated if design.trains(name)],
        notices=NOTICES,
        names=names(design.datasets, design.pretrainings),
        code=stage_code("qualitative"),
    script:
        "../workflow_scripts/qualitative.py"


rule site:
    """One static page of everything: open results/<preset>/index.html."""
    input:
        tables=rules.claims.input.tables,
        runs=[path for name in experiment.tables for path in table_inputs(name)["cells"]],
        manifests=[path for name in experiment.tables for path in table_inputs(name)["manifests"]],
        overview=results("tables/dataset_overview.csv"),
        claims=results("tables/claims.csv"),
        records=[results(one.record) for one in design.evaluated],
        histories=HISTORIES,
        cells=rules.qualitative.input.cells,
        maps=rules.qualitative.input.maps,
        images=rules.qualitative.input.images,
        figures=rules.qualitative.output.figures,
    output:
        page=results("index.html"),
        pictures=directory(results("site")),
        record=results("records/site.json"),
    log:
        results("logs/site.log"),
    params:
        preset=experiment.preset,
        tables={
            name: {"options": table_options(table), **table_inputs(name)}
            for name, table in experiment.tables.items()
        },
        backbones=[
            (results(one.record), results(one.history) if design.trains(one.pretraining) else None)
            for one in design.evaluated
        ],
        notices=NOTICES,
        generated=design.generated(design.datasets),
        names=names(design.datasets, design.pretrainings),
        linear=linear_of(design.pretrainings),
        templates=TEMPLATES,
        code=stage_code("site"),
    script:
        "../workflow_scripts/site.py"
