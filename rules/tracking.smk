"""Run records -> MLflow, by one writer."""

import hashlib
import os


def store():
    """The local store, which is brought up to date rather than made anew; none where a server is used."""
    return [] if "MLFLOW_TRACKING_URI" in os.environ else update(f"{RESULTS}/mlflow/mlflow.db")


def server():
    """Stands for MLFLOW_TRACKING_URI, which may hold a password."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return None if uri is None else hashlib.sha256(uri.encode()).hexdigest()[:12]


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
        names=names(used_datasets(), used_pretrainings()),
    script:
        "../workflow_scripts/mlflow_sync.py"
