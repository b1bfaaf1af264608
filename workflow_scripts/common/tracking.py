"""MLflow, from run records: with `tracking_live` and `tracking_place` all that knows of it.

Jobs write records without importing mlflow (an import costs seconds, and a fresh SQLite store opened
by many processes at once is broken for ever); one process then brings the store up to date.
"""

import contextlib
import csv
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from spd.report.names import Names
from workflow_scripts.common.locks import only_one
from workflow_scripts.common.records import read_runs
from workflow_scripts.common.redaction import redact
from workflow_scripts.common.tracking_place import ARTIFACTS, relocate

KEY = "spd.run_key"
CONTENT = "spd.content"  # written last: a run without it was interrupted and is replaced
LIVE = "spd.live"  # a training writes this run now; the sync completes it
PATIENCE = 8  # seconds for a server to begin to answer: mlflow's own retries are silent for four minutes
CHARTS = "?workflowType=machine_learning&compareRunsMode=CHART&orderByKey=params.%60method%60&orderByAsc=true"
"""After `/#/experiments/<id>/runs`: charts, sorted by method. Without the first word MLflow's left bar lists
tools for chats, not what belongs to training."""
BATCH = 800  # metrics in one call, which takes 1,000 items with params and tags
NOTES = {  # ending of an experiment's name -> its description
    "backbones": "A run is a backbone: one pre-training and seed. `train/...` are curves by step; samples of "
    "its views are among the artefacts.",
    "tables": "A run is a table: its files, and the configuration and environment it was made with.",
    "cls": "A run is a cell of the tables in its tag `spd.tables`: one backbone, detector, profile and "
    "data set.",
}
Point = tuple[str, float, int]
"""A metric's name, value and step."""


@dataclass(frozen=True)
class Attachments:
    """What a run shows besides its record: it may change between identical runs, or is another stage's.

    benchmark: Snakemake's file of run time and memory, of a job with `gpus` GPUs. job: a file with the id
    of Slurm's job. tables: those that show the run. figures: (file, folder in the run).
    backbone: the file to register as a model. Files that do not exist are left out.
    """

    benchmark: str | None = None
    gpus: int = 0
    job: str | None = None
    tables: Sequence[str] = ()
    figures: Sequence[tuple[str, str]] = ()
    backbone: str | None = None

    def added_to(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """`record` with all of this."""
        job = {}
        if self.job is not None and Path(self.job).is_file():
            job["slurm_job"] = Path(self.job).read_text().strip()
        return {
            **record,
            "metrics": {**record["metrics"], **self._usage()},
            "provenance": {**record["provenance"], **job},
            "figures": [(file, at) for file, at in self.figures if Path(file).is_file()],
            "backbone": self.backbone,
            "tables": list(self.tables),
        }

    def _usage(self) -> dict[str, float]:
        if self.benchmark is None or not Path(self.benchmark).is_file():
            return {}
        lines = Path(self.benchmark).read_text(encoding="utf-8").splitlines()
        row = [{}, *csv.DictReader(lines, delimiter="\t")][-1]
        columns = {"seconds": "s", "peak_memory_mib": "max_rss", "cpu_hours": "cpu_time", "gpu_hours": "s"}
        usage = {}
        for name, column in columns.items():
            with contextlib.suppress(KeyError, TypeError, ValueError):  # no such column, `-` or `NA`
                value = float(row[column]) * (self.gpus if name == "gpu_hours" else 1)
                usage[f"usage/{name}"] = value / 3600 if name.endswith("hours") else value
        return usage


def experiment_name(preset: str, experiment: str) -> str:
    """The experiment in MLflow of a record's `experiment`."""
    return f"SPD {preset}: {experiment}"


def sync(
    records: Iterable[str | Path],
    folder: str | Path,
    *,
    preset: str,
    tracking_uri: str | None = None,
    names: Names | None = None,
    attachments: Mapping[str, Attachments] | None = None,
) -> tuple[Counter[str], dict[str, str]]:
    """Brings an MLflow store up to date with run records; twice adds nothing.

    records: files of records and cells (`records.read_runs`) in the order in which they are to appear.
    folder: of the lock and, without `tracking_uri` (a server's), of `mlflow.db` and artefacts. names: what
    the keys of data sets and pre-trainings are called in params. attachments: record, or the first cell of a
    run -> what else belongs to its run.
    Returns how many runs were `created`, `replaced` and `unchanged`, and how many addresses of a store that
    lay elsewhere were `moved`; and the id of each experiment. Raises ConnectionError for a silent server.

    The tag `spd.content` of a run is a hash of record, history and artefacts. Equal: left alone. Different
    or missing: the run is deleted (in MLflow's sense: it can be restored) and written again, because params
    are immutable and metrics would append to the old ones. A run that a training wrote live is completed, if
    its points are those of the history. One sync at a time writes; a second in the folder says that it waits.
    """
    from tqdm import tqdm

    folder, names, attachments = Path(folder), names or Names(), attachments or {}
    artifacts = None if tracking_uri else (folder / ARTIFACTS).resolve()
    count: Counter[str] = Counter()
    experiments: dict[str, str] = {}
    runs: dict[str, dict[str, list[Any]]] = {}  # experiment -> key -> active runs, the newest first
    with only_one(folder / "sync.lock", print):
        if tracking_uri:
            require_answer(tracking_uri)
        else:
            count["moved"] = relocate(folder)
        client = connect(tracking_uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        for path, record in tqdm(list(read_runs(records)), desc="MLflow", unit="run"):
            record = attachments.get(str(path), Attachments()).added_to(record)
            record["params"] = names.in_params(record["params"])
            record |= {"timestamp": int(path.stat().st_mtime * 1000), "upload": artifacts is None}
            name = experiment_name(preset, record["experiment"])
            if name not in experiments:
                experiments[name] = experiment(client, name, artifacts)
                runs[name] = defaultdict(list)
                for run in client.search_runs([experiments[name]], max_results=50_000):  # MLflow's limit
                    runs[name][run.data.tags.get(KEY)].append(run)
            count[_write(client, name, experiments[name], runs[name][record["key"]], record)] += 1
    return count, experiments


def _write(client: Any, name: str, experiment_id: str, runs: Sequence[Any], record: dict[str, Any]) -> str:
    """Leaves one run of a record; `created`, `replaced` or `unchanged`. runs: those with its key."""
    from mlflow.entities import Metric

    timestamp, upload = record.pop("timestamp"), record.pop("upload")
    content = _content(record)
    points = [(key, float(value), 0) for key, value in sorted(record["metrics"].items())]
    points += history_points(record["history"]) if record["history"] is not None else []
    run_id, missing, done = None, points, "created"
    for run in runs:
        if run_id is None and run.data.tags.get(CONTENT) == content:
            run_id, done = run.info.run_id, "unchanged"
        elif run_id is None and (lacking := _missing(client, run, points)) is not None:
            run_id, missing = run.info.run_id, lacking
        else:
            client.delete_run(run.info.run_id)
            done = "replaced" if done == "created" else done
    if done == "unchanged":
        return done
    if run_id is None:
        run_id = begin(client, experiment_id, record["key"], record["name"], timestamp)
    _fill(client, run_id, record, [Metric(key, value, timestamp, step) for key, value, step in missing])
    if record["backbone"] is not None:
        _register(client, f"{name}, {record['name']}", run_id, record, upload)
    client.set_tag(run_id, CONTENT, content)
    client.set_terminated(run_id, "FINISHED", end_time=timestamp)
    return done


def begin(client: Any, experiment_id: str, key: str, name: str, start: int, live: bool = False) -> str:
    """Id of a new run; start in milliseconds since 1970."""
    tags = {KEY: key, "mlflow.source.type": "JOB", "mlflow.user": "spd", **({LIVE: "yes"} if live else {})}
    return client.create_run(experiment_id, start_time=start, run_name=name, tags=tags).info.run_id


def _fill(client: Any, run_id: str, record: dict[str, Any], points: Sequence[Any]) -> None:
    from mlflow.entities import Param, RunTag

    params = [Param(k, _short(v)) for k, v in sorted(record["params"].items()) if v is not None]
    tags = [RunTag(f"spd.{k}", _short(v)) for k, v in sorted(record["provenance"].items()) if v is not None]
    if record["provenance"].get("commit"):
        tags.append(RunTag("mlflow.source.git.commit", record["provenance"]["commit"]))
    if record["tables"]:
        shown = _short(", ".join(record["tables"]))
        tags.append(RunTag("spd.tables", shown))
        tags.append(RunTag("mlflow.note.content", f"Shown in the tables {shown}."))
    for start in range(0, max(1, len(points)), BATCH):
        metrics = points[start : start + BATCH]
        client.log_batch(run_id, metrics=metrics, params=params[:100], tags=tags[:100])
    for file, folder in [*((artifact, "") for artifact in record["artifacts"]), *record["figures"]]:
        client.log_artifact(run_id, file, folder or None)


def _missing(client: Any, run: Any, points: Sequence[Point]) -> list[Point] | None:
    """The points that a run written live still lacks; None where it has others, or is no such run."""
    if LIVE not in run.data.tags or CONTENT in run.data.tags:
        return None
    wanted = {(key, step): value for key, value, step in points}
    there = logged(client, run)
    # What only a history in the making has (speed) stays in the run; the record knows nothing of it.
    if any(wanted.get((key, step), value) != value for key, value, step in there):
        return None
    return [point for point in points if point not in there]


def logged(client: Any, run: Any) -> set[Point]:
    """Every point of a run."""
    history = [point for key in run.data.metrics for point in client.get_metric_history(run.info.run_id, key)]
    return {(point.key, point.value, point.step) for point in history}


def _register(client: Any, model: str, run_id: str, record: dict[str, Any], upload: bool) -> None:
    """One version of a model for each backbone file, by its hash; a local store points at the file itself."""
    from mlflow.exceptions import MlflowException

    model, file = model.replace("/", "-").replace(":", ""), Path(record["backbone"])
    with contextlib.suppress(MlflowException):  # it is there
        client.create_registered_model(model)
    for version in client.search_model_versions(f"name = '{model}'"):
        if version.tags.get("spd.checkpoint") == record["provenance"]["checkpoint"]:
            client.delete_model_version(model, version.version)
    source = file.resolve().as_uri()
    if upload:
        client.log_artifact(run_id, str(file), "backbone")
        source = f"{client.get_run(run_id).info.artifact_uri}/backbone/{file.name}"
    about = {**record["provenance"], **record["params"], "run_key": record["key"]}
    tags = {f"spd.{key}": _short(value)[:5000] for key, value in about.items() if value is not None}
    client.create_model_version(model, source, run_id, tags=tags)


def history_points(path: str | Path) -> Iterator[Point]:
    """Points of a training's history; a last line that is cut short is left out."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return
        step = int(entry.pop("step"))
        for name, value in entry.items():
            if isinstance(value, int | float):
                yield f"train/{name}", float(value), step


def _content(record: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    figures = [file for file, _ in record["figures"]]
    for path in [*filter(None, [record["history"]]), *record["artifacts"], *figures]:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _short(value: Any) -> str:
    # MLflow refuses params over 6,000 and tags over 8,000 characters.
    return (value if isinstance(value, str) else json.dumps(value, sort_keys=True))[:6000]


def experiment(client: Any, name: str, artifacts: Path | None = None) -> str:
    """Gets or creates by id: `mlflow.set_experiment` files a loser of the race under Default, silently."""
    from mlflow.exceptions import MlflowException

    there = client.get_experiment_by_name(name)
    if there is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}  # without it MLflow guesses, and asks
        if note := next((NOTES[ending] for ending in NOTES if name.endswith(ending)), None):
            tags["mlflow.note.content"] = note
        location = None if artifacts is None else artifacts.as_uri()
        with contextlib.suppress(MlflowException):  # another training was first
            return client.create_experiment(name, artifact_location=location, tags=tags)
        there = client.get_experiment_by_name(name)
    if there.lifecycle_stage == "deleted":
        client.restore_experiment(there.experiment_id)
    return there.experiment_id


def require_answer(uri: str) -> None:
    """Asks a tracking server once, for at most `PATIENCE` seconds without a byte. Any answer will do, a
    refusal too. Raises ConnectionError with the way out."""
    try:
        requests.get(uri, timeout=PATIENCE, stream=True, allow_redirects=False).close()
    except requests.RequestException as error:
        unreachable = isinstance(error, requests.ConnectionError | requests.Timeout)
        if not unreachable or isinstance(error, requests.exceptions.SSLError):
            return  # not an address of a server, or one with a certificate of its own: mlflow knows
        reason = redact(" ".join(str(error).split()))[:200]
        raise ConnectionError(
            f"MLflow's server at {redact(uri)} does not answer ({reason}). Nothing is lost: results and "
            "run records are on the disk. Start the server or mend MLFLOW_TRACKING_URI and ask for the "
            "target mlflow_sync again; without that variable a local store is filled"
        ) from None


def connect(uri: str) -> Any:
    """MLflow's client of a store, which does not phone home, nor print two lines a run."""
    quiet = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")
    for variable, value in [*((name, "true") for name in quiet), ("MLFLOW_LOGGING_LEVEL", "WARNING")]:
        os.environ.setdefault(variable, value)  # mlflow reads them when it is imported
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)
