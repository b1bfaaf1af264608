"""Run records -> MLflow, by one writer."""


localrules:
    mlflow_sync,


def store():
    """The local store, which is brought up to date rather than made anew; none where a server is used."""
    return [] if "MLFLOW_TRACKING_URI" in os.environ else update(results("mlflow/mlflow.db"))


def server():
    """Stands for MLFLOW_TRACKING_URI, which may hold a password."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return None if uri is None else hashlib.sha256(uri.encode()).hexdigest()[:12]


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
        server=server(),
        # A local store holds absolute addresses, which follow a project that was moved or copied.
        place=None if server() else str(Path(RESULTS).resolve()),
        names=names(design.datasets, design.pretrainings),
        linear=linear_results.records(design.backbones, RESULTS),
        attachments=lambda wc: run_order.attachments(design, RESULTS, training_job),
    script:
        "../workflow_scripts/mlflow_sync.py"
