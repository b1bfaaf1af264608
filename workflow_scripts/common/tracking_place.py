"""A local MLflow store that was moved or copied: its addresses, which are absolute, follow the folder.

    python -m workflow_scripts.common.tracking_place results/demo/mlflow

MLflow keeps the address of every experiment's and run's artefacts, and of every model, as an absolute URI in
the database, and resolves a relative one when it is given. Imports no MLflow.
"""

import contextlib
import sqlite3
import sys
from pathlib import Path

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""(table, column) of MLflow's schema that hold them."""
ARTIFACTS = "artifacts"


def relocate(folder: str | Path) -> int:
    """Rewrites, in one transaction, what points to where the store in `folder` lay before; the number of
    addresses rewritten.

    folder: with `mlflow.db` and `artifacts`, in the folder of the preset's results, where the models lie.
    Where either is missing nothing is done: addresses of artefacts that stayed behind are right.
    """
    folder = Path(folder).resolve()
    database, artifacts = folder / "mlflow.db", folder / ARTIFACTS
    if not database.is_file() or not artifacts.is_dir():
        return 0
    rewritten = 0
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as store, store:
        columns = [
            (table, column)
            for table, column in ADDRESSES
            if column in [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
        ]
        if ("experiments", "artifact_location") not in columns:
            return 0
        query = "SELECT DISTINCT artifact_location FROM experiments WHERE name LIKE 'SPD %'"
        for (location,) in store.execute(query).fetchall():
            place, _, name = (location or "").rpartition("/")
            if location == artifacts.as_uri() or name != ARTIFACTS:
                continue
            before, now = place, folder.as_uri()
            if before.rpartition("/")[2] == now.rpartition("/")[2]:  # then the results moved, models and all
                before, now = before.rpartition("/")[0], now.rpartition("/")[0]
            for table, column in columns:
                done = store.execute(
                    f"UPDATE {table} SET {column} = :now || substr({column}, length(:before) + 1) "
                    f"WHERE substr({column}, 1, length(:before) + 1) = :before || '/' "
                    f"AND substr({column}, 1, length(:now) + 1) <> :now || '/'",
                    {"before": before, "now": now},
                )
                rewritten += done.rowcount
    return rewritten


if __name__ == "__main__":
    if count := relocate(sys.argv[1]):
        print(f"{sys.argv[1]} was moved: {count} addresses of artefacts and models follow it")
