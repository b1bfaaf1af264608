"""Cells + published numbers -> tables; each table of config.yaml is a rule and a target of its own."""


localrules:
    dataset_overview,


def table_options(table):
    """A table's options, its data sets by the names that tables show."""
    shown = [experiment.datasets[name].name for name in table.datasets]
    return {**table.model_dump(mode="json"), "datasets": shown}


def table_inputs(name):
    """What a table is made of; problems that the config lets through stand under it."""
    table = experiment.tables[name]
    return {
        "cells": [results(cell.path) for cell in design.cells(name)],
        "manifests": [
            results(MANIFEST_RECORD.format(dataset=dataset, setup=table.setup)) for dataset in table.datasets
        ],
    }


def table_files(name, caption, category, title, objects=False):
    """The files of a table, or of its companion of objects; Snakemake's report shows the CSV and the page."""
    stem = results(f"tables/{name}_objects" if objects else f"tables/{name}")
    shown = {"caption": f"captions/{caption}.rst", "category": category, "subcategory": title}
    pages = {"csv": "every number", "html": "every object" if objects else "the table"}
    files = []
    for suffix in ("md", "tex", "html") if objects else ("csv", "md", "tex", "html"):
        file = f"{stem}.{suffix}"
        if suffix in pages:
            file = report(file, labels={"file": f"{pages[suffix]} ({suffix.upper()})"}, **shown)
        files.append(file)
    return files


def linear_of(rows):
    """Results of the linear protocol of these pre-trainings, those that are there."""
    try:
        return linear_results.results([one for one in design.evaluated if one.pretraining in rows], RESULTS)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def generated(datasets):
    """What those of these data sets are called whose images this project draws itself."""
    entries = [experiment.datasets[name] for name in datasets]
    return [entry.name for entry in entries if entry.archive is not None and entry.archive.generated]


# Files beside the code, by their content: as inputs, a project that was moved would make its tables anew.
STATED = files_sha256(  # published counts, where a data set of the overview must meet them
    (HERE / "spd/facts").glob("*_counts.csv")
    if any(experiment.datasets[name].facts for name in experiment.dataset_overview.datasets)
    else []
)
TEMPLATES = files_sha256(path for path in (HERE / "spd/report/templates").iterdir() if path.is_file())


rule dataset_overview:
    """What was found in each data set beside what the publications state."""
    input:
        manifests=[
            results(MANIFEST.format(dataset=name, setup=setup))
            for name in experiment.dataset_overview.datasets
            for setup in experiment.datasets[name].setups
        ],
    output:
        table_files("dataset_overview", "dataset_overview", "Data sets", experiment.dataset_overview.title),
        record=results("records/tables/dataset_overview.json"),
    log:
        results("logs/tables/dataset_overview.log"),
    params:
        preset=experiment.preset,
        overview=experiment.dataset_overview.model_dump(mode="json"),
        datasets={
            name: experiment.datasets[name].model_dump(
                mode="json", include={"name", "facts", "licence", "objects"}
            )
            for name in experiment.dataset_overview.datasets
        },
        stated=STATED,
        templates=TEMPLATES,
        code=stage_code("dataset_overview"),
    script:
        "../workflow_scripts/dataset_overview.py"


for table_name, table in experiment.tables.items():

    rule:
        name:
            table_name
        input:
            **table_inputs(table_name),
        output:
            table_files(table_name, "table", "Tables", table.title),
            table_files(table_name, "table", "Tables", table.title, objects=True),
            record=results(f"records/tables/{table_name}.json"),
        log:
            results(f"logs/tables/{table_name}.log"),
        localrule: True
        params:
            preset=experiment.preset,
            table=table_name,
            options=table_options(table),
            names=names(table.datasets, table.rows),
            linear=linear_of(table.rows),
            templates=TEMPLATES,
            generated=generated(table.datasets),
            code=stage_code("table"),
        script:
            "../workflow_scripts/table.py"


rule tables:
    """Every table of the preset."""
    input:
        [results(f"tables/{name}.csv") for name in ["dataset_overview", *experiment.tables, "claims"]],


rule verify:
    """Checks the results folder against what its jobs said they wrote; names what was altered."""
    log:
        results("logs/verify.log"),
    localrule: True
    params:
        python=sys.executable,
        results=RESULTS,
    shell:
        "{params.python:q} -m workflow_scripts.common.verify {params.results:q} 2>&1 | tee {log:q}"
