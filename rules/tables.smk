"""Cells + published numbers -> tables; each table of config.yaml is a rule and a target of its own."""


localrules:
    dataset_overview,


rule dataset_overview:
    """What was found in each data set, and what the publications state."""
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
            generated=design.generated(table.datasets),
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
