"""Run records -> MLflow, by one writer."""


localrules:
    mlflow_sync,


rule mlflow_sync:
    """Brings the store up to date; a second sync adds nothing. Another or a missing store is filled."""
    input:
        records=records(),
    output:
        store(),
        synced=f"{RESULTS}/mlflow/synced.json",
    log:
        f"{RESULTS}/logs/mlflow_sync.log",
    params:
        preset=experiment.preset,
        server=server(),
        # A local store holds absolute addresses, which follow a project that was moved or copied.
        place=None if server() else str(Path(RESULTS).resolve()),
        names=names(used_datasets(), used_pretrainings()),
        linear=linear_records(),
        beside=lambda wc: beside(),
    script:
        "../workflow_scripts/mlflow_sync.py"
