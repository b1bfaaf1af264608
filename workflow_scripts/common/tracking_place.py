"""A local MLflow store that was moved or copied: its addresses, which are absolute, follow the folder.

    python -m workflow_scripts.common.tracking_place results/demo/mlflow

MLflow keeps the address of every experiment's and run's artefacts, and of every model, as an absolute URI in
the database, and resolves a relative one when it is given. Imports no MLflow.
"""

import contextlib
import sqlite3
import sys
from pathlib import Path

ARTIFACTS = "artifacts"
ADDRESSES = {  # column -> table of MLflow's schema that has it
    "artifact_location": "experiments",
    "artifact_uri": "runs",
    "source": "model_versions",
    "storage_location": "model_versions",
}


def relocate(folder: str | Path) -> int:
    """Rewrites, in one transaction, what points to where the results with this store lay; returns how many.

    folder: with `mlflow.db` and `artifacts`, in the folder of the preset's results, where the models lie.
    Where either is missing nothing is done: addresses of artefacts that stayed behind are right.
    """
    folder, rewritten = Path(folder).resolve(), 0
    if not (folder / "mlflow.db").is_file() or not (folder / ARTIFACTS).is_dir():
        return 0
    now, end = folder.parent.as_uri() + "/", f"{folder.name}/{ARTIFACTS}"
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", timeout=60)) as store, store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return 0  # killed before MLflow had made its tables
        locations = store.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE name LIKE 'SPD %'"
        )
        olds = {at.removesuffix(end) for (at,) in locations.fetchall() if at.endswith(f"/{end}")}
        for old in olds - {now}:
            for column, table in ADDRESSES.items():
                change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} GLOB ?"
                rewritten += store.execute(change, [now, len(old) + 1, f"{old}*"]).rowcount
    return rewritten


if __name__ == "__main__":
    if count := relocate(sys.argv[1]):
        print(f"{sys.argv[1]} was moved: {count} addresses of artefacts and models follow it")
