"""MLflow, from run records: the only module that knows of it, and the only writer to its store.

Jobs write records without importing mlflow (an import costs seconds, and a fresh SQLite store opened
by many processes at once is broken for ever); one process then brings the store up to date.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spd.names import Names
from spd.records import read_json

KEY = "spd.run_key"
CONTENT = "spd.content"  # written last: a run without it was interrupted and is replaced
EXPERIMENT_PREFIX = "SPD "
BATCH = 1000  # MLflow's limit of metrics, params and tags in one call


@dataclass(frozen=True)
class Synced:
    """How many runs a sync created, replaced because their record changed, and left alone."""

    created: int
    replaced: int
    unchanged: int


def sync(
    records: Iterable[str | Path],
    folder: str | Path,
    *,
    preset: str,
    tracking_uri: str | None = None,
    names: Names | None = None,
    progress: bool = True,
) -> Synced:
    """Brings an MLflow store up to date with run records; twice adds nothing.

    records: record files in the order in which they shall appear, tables last.
    folder: where `mlflow.db`, the artefacts and the lock lie; used only without a tracking server.
    tracking_uri: a server to use instead of `folder/mlflow.db` (MLFLOW_TRACKING_URI).
    names: what the keys of data sets and pre-trainings in the records are called in params.

    A run is found by the tag `spd.run_key`; the tag `spd.content` holds a hash of record, history and
    artefacts and is written last. Equal: left alone. Different or missing: the run is deleted (in
    MLflow's sense: it can be restored) and written anew, because params are immutable and metrics
    would append to the old ones. Two syncs at once take turns by a file lock.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    records = [Path(path) for path in records]
    with _locked(folder / "sync.lock"):
        client = _client(tracking_uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        artifacts = None if tracking_uri else (folder / "artifacts").resolve()
        return _sync(client, records, preset, artifacts, names or Names(), progress)


def _sync(
    client: Any,
    records: Sequence[Path],
    preset: str,
    artifacts: Path | None,
    names: Names,
    progress: bool,
) -> Synced:
    from tqdm import tqdm

    created = replaced = unchanged = 0
    experiments: dict[str, str] = {}
    runs: dict[str, dict[str, Any]] = {}
    for path in tqdm(records, desc="MLflow", unit="run", disable=not progress):
        record = read_json(path)
        record["params"] = names.in_params(record["params"])
        name = f"{EXPERIMENT_PREFIX}{preset}: {record['experiment']}"
        if name not in experiments:
            experiments[name] = _experiment(client, name, artifacts)
            runs[name] = _runs(client, experiments[name])
        content = _content(record)
        existing = runs[name].get(record["key"])
        if existing is not None and existing.data.tags.get(CONTENT) == content:
            unchanged += 1
            continue
        if existing is not None:
            client.delete_run(existing.info.run_id)
            replaced += 1
        else:
            created += 1
        _write(client, experiments[name], record, content, int(path.stat().st_mtime * 1000))
    return Synced(created, replaced, unchanged)


def _write(client: Any, experiment: str, record: dict[str, Any], content: str, timestamp: int) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(
        experiment,
        start_time=timestamp,
        run_name=record["name"],
        tags={KEY: record["key"], "mlflow.source.type": "JOB", "mlflow.user": "spd"},
    )
    run_id = run.info.run_id
    params = [Param(k, _short(v)) for k, v in sorted(record["params"].items()) if v is not None]
    tags = [RunTag(f"spd.{k}", _short(v)) for k, v in sorted(record["provenance"].items()) if v is not None]
    metrics = [Metric(k, float(v), timestamp, 0) for k, v in sorted(record["metrics"].items())]
    metrics += list(_history(record["history"], timestamp))
    # One call takes 1,000 items in all.
    room = BATCH - len(params[:100]) - len(tags[:100])
    client.log_batch(run_id, metrics=metrics[:room], params=params[:100], tags=tags[:100])
    for start in range(room, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    for artifact in record["artifacts"]:
        client.log_artifact(run_id, artifact)
    client.set_tag(run_id, CONTENT, content)
    client.set_terminated(run_id, "FINISHED", end_time=timestamp)


def _history(path: str | None, timestamp: int) -> Iterator[Any]:
    from mlflow.entities import Metric

    if path is None:
        return
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            step = int(entry.pop("step"))
            for name, value in entry.items():
                if isinstance(value, int | float):
                    yield Metric(f"train/{name}", float(value), timestamp, step)


def _content(record: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for path in [*filter(None, [record["history"]]), *record["artifacts"]]:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _short(value: Any) -> str:
    # MLflow refuses params over 6,000 and tags over 8,000 characters.
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text[:6000]


def _experiment(client: Any, name: str, artifacts: Path | None) -> str:
    """Gets or creates by id: `mlflow.set_experiment` files a loser of the race under Default, silently."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            location = None if artifacts is None else artifacts.as_uri()
            return client.create_experiment(name, artifact_location=location)
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _runs(client: Any, experiment: str) -> dict[str, Any]:
    """Active runs by key. Of duplicates (two stores merged by hand) the newest is kept, others deleted."""
    found: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], max_results=1000, page_token=token, order_by=["start_time DESC"]
        )
        for run in page:
            key = run.data.tags.get(KEY)
            if key is None:
                continue
            if key in found:
                client.delete_run(run.info.run_id)
            else:
                found[key] = run
        token = page.token
        if not token:
            return found


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _client(uri: str) -> Any:
    # Before the import: mlflow reads these once. A benchmark has no business phoning home.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=uri)
