"""Run records -> MLflow, by one writer."""


localrules:
    mlflow_sync,


rule mlflow_sync:
    """Brings the store up to date; a second sync adds nothing. Another or a missing store is filled."""
    input:
        records=run_order.records(design, external, RESULTS),
    output:
        store(),
        synced=results("mlflow/synced.json"),
    log:
        results("logs/mlflow_sync.log"),
    params:
        preset=experiment.preset,
        server=run_order.server(),
        # A local store holds absolute addresses, which follow a project that was moved or copied.
        place=None if run_order.server() else str(Path(RESULTS).resolve()),
        names=names(design.datasets, design.pretrainings),
        linear=linear_results.records(design.backbones, RESULTS),
        attachments=lambda wc: run_order.attachments(design, RESULTS, training_job),
    script:
        "../workflow_scripts/mlflow_sync.py"
