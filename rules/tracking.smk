"""Run records -> MLflow, by one writer."""


localrules:
    mlflow_sync,


def records():
    """Records in the order in which runs appear: manifests, backbones, cells, and the tables last."""
    made = [
        f"{RESULTS}/records/manifests/{name}-{setup}.json"
        for name in experiment.dataset_overview.datasets
        for setup in experiment.datasets[name].setups
    ]
    made += [
        f"{RESULTS}/records/backbones/{name}-seed{seed}.json"
        for name in used_pretrainings()
        for seed in experiment.pretrainings[name].seeds
    ]
    for table in experiment.tables.values():
        for cell in cell_paths(table):
            path = cell.removeprefix(f"{RESULTS}/cells/").replace("/", "-")
            made.append(f"{RESULTS}/records/cells/{path}")
    made += [f"{RESULTS}/records/tables/{name}.json" for name in ["dataset_overview", *experiment.tables]]
    return list(dict.fromkeys(made))


rule mlflow_sync:
    """Brings the store up to date; a second sync adds nothing."""
    input:
        records=records(),
    output:
        f"{RESULTS}/mlflow/synced.json",
    log:
        f"{RESULTS}/logs/mlflow_sync.log",
    params:
        preset=experiment.preset,
    script:
        "../workflow_scripts/mlflow_sync.py"
