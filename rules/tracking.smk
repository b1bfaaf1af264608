"""Run records -> MLflow, by one writer."""


localrules:
    mlflow_sync,


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
