"""Cells + published numbers -> tables; each table of config.yaml is a rule and a target of its own."""

FORMATS = ["csv", "md", "tex", "html"]


def table_options(table):
    """A table's options, its data sets by the names that cells carry and tables show."""
    names = [experiment.datasets[name].name for name in table.datasets]
    return {**table.model_dump(mode="json"), "datasets": names}


TEMPLATES = sorted(str(path) for path in (HERE / "spd/report/templates").iterdir() if path.is_file())


localrules:
    dataset_overview,


rule dataset_overview:
    """What was found in each data set beside what the publications state."""
    input:
        manifests=[
            manifest(name, setup)
            for name in experiment.dataset_overview.datasets
            for setup in experiment.datasets[name].setups
        ],
        templates=TEMPLATES,
    output:
        [f"{RESULTS}/tables/dataset_overview.{suffix}" for suffix in FORMATS],
        record=f"{RESULTS}/records/tables/dataset_overview.json",
    log:
        f"{RESULTS}/logs/tables/dataset_overview.log",
    params:
        preset=experiment.preset,
        overview=experiment.dataset_overview.model_dump(mode="json"),
        datasets={
            name: experiment.datasets[name].model_dump(
                mode="json", include={"name", "facts", "licence", "objects"}
            )
            for name in experiment.dataset_overview.datasets
        },
        code=stage_code("dataset_overview"),
    script:
        "../workflow_scripts/dataset_overview.py"


for table_name, table in experiment.tables.items():

    rule:
        name:
            table_name
        input:
            cells=cell_paths(table),
            templates=TEMPLATES,
        output:
            [f"{RESULTS}/tables/{table_name}.{suffix}" for suffix in FORMATS],
            [f"{RESULTS}/tables/{table_name}_objects.{suffix}" for suffix in FORMATS[1:]],
            record=f"{RESULTS}/records/tables/{table_name}.json",
        log:
            f"{RESULTS}/logs/tables/{table_name}.log",
        localrule: True
        params:
            preset=experiment.preset,
            table=table_name,
            options=table_options(table),
            code=stage_code("table"),
        script:
            "../workflow_scripts/table.py"


rule tables:
    """Every table of the preset."""
    input:
        [f"{RESULTS}/tables/{name}.csv" for name in ["dataset_overview", *experiment.tables, "claims"]],
