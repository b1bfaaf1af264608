"""MLflow, from run records: with `workflow_scripts.common.tracking_live` and `workflow_scripts.common.tracking_view` all that knows of it.

Jobs write records without importing mlflow (an import costs seconds, and a fresh SQLite store opened
by many processes at once is broken for ever); one process then brings the store up to date.
"""

import contextlib
import csv
import fcntl
import hashlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spd.files import read_json

from spd.report.names import Names
from spd.training.history import PASSING
from workflow_scripts.common import tracking_view
from workflow_scripts.common.redaction import redact
from workflow_scripts.common.tracking_place import ARTIFACTS, relocate

KEY = "spd.run_key"
CONTENT = "spd.content"  # written last: a run without it was interrupted and is replaced
LIVE = "spd.live"  # a training writes this run now; the sync completes it
WRITING = "spd.writing"  # when a sync began to write this run, in seconds since 1970
PATIENCE = 8  # seconds for a server to begin to answer: mlflow's own retries are silent for four minutes
ABANDONED = 600  # seconds after which a run that another sync began is taken for interrupted
BATCH = 1000  # MLflow's limit of metrics, params and tags in one call


@dataclass(frozen=True)
class Synced:
    """How many runs a sync created, replaced because their record changed, and left alone.

    completed: of the created ones, those that a training had begun to write (`workflow_scripts.common.tracking_live`).
    moved: addresses that a local store had of another place, where it lay before (`workflow_scripts.common.tracking_place`).
    experiments: id of each experiment by its name; views: where each is shown (`workflow_scripts.common.tracking_view.address`).
    """

    created: int
    replaced: int
    unchanged: int
    completed: int = 0
    moved: int = 0
    experiments: Mapping[str, str] = field(default_factory=dict, compare=False)
    views: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Beside:
    """What lies beside a record: it may change between identical runs, or is another stage's.

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
    beside: Mapping[str, Beside] | None = None,
    progress: bool = True,
) -> Synced:
    """Brings an MLflow store up to date with run records; twice adds nothing.

    records: record files in the order in which they shall appear, tables last.
    folder: where `mlflow.db`, the artefacts and the lock lie; used only without a tracking server.
    tracking_uri: a server to use instead of `folder/mlflow.db` (MLFLOW_TRACKING_URI).
    names: what the keys of data sets and pre-trainings in the records are called in params.
    beside: record -> what else belongs to its run.

    A run is found by the tag `spd.run_key`; the tag `spd.content` holds a hash of record, history and
    artefacts and is written last. Equal: left alone. Different or missing: the run is deleted (in
    MLflow's sense: it can be restored) and written anew, because params are immutable and metrics
    would append to the old ones. A run that a training wrote live is completed, if its points are those of
    the history. Two syncs at once take turns by a file lock; two that share a server, but no folder, may both
    write a run, of which the one that ends later leaves one.

    Raises ConnectionError for a server that does not answer.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    records = [Path(path) for path in records]
    with _locked(folder / "sync.lock"):
        moved = 0 if tracking_uri else relocate(folder)
        client = connect(tracking_uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        if tracking_uri:
            require_answer(client, tracking_uri)
        artifacts = None if tracking_uri else (folder / ARTIFACTS).resolve()
        done = _sync(client, records, preset, artifacts, names or Names(), beside or {}, progress)
        return replace(done, moved=moved)


def _sync(
    client: Any,
    records: Sequence[Path],
    preset: str,
    artifacts: Path | None,
    names: Names,
    beside: Mapping[str, Beside],
    progress: bool,
) -> Synced:
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException
    from tqdm import tqdm

    created = replaced = unchanged = completed = 0
    experiments: dict[str, str] = {}
    params: dict[str, set[str]] = {}  # what all runs of an experiment have
    runs: dict[str, dict[str, Any]] = {}
    for path in tqdm(records, desc="MLflow", unit="run", disable=not progress):
        record = read_json(path)
        record["params"] = names.in_params(record["params"])
        _take(record, beside.get(str(path), Beside()))
        name = experiment_name(preset, record["experiment"])
        params[name] = params.get(name, set(record["params"])) & set(record["params"])
        if name not in experiments:
            experiments[name] = experiment(client, name, artifacts)
            runs[name] = _runs(client, experiments[name], shared=artifacts is None)
        content = _content(record)
        existing = runs[name].get(record["key"])
        if existing is not None and existing.data.tags.get(CONTENT) == content:
            unchanged += 1
            continue
        timestamp = int(path.stat().st_mtime * 1000)
        points = [Metric(key, value, timestamp, step) for key, value, step in _points(record)]
        missing = None if existing is None else _missing(client, existing, points)
        if missing is not None:
            run_id = existing.info.run_id
            _fill(client, run_id, record, missing)
            completed, created = completed + 1, created + 1
        else:
            if existing is not None:
                with contextlib.suppress(MlflowException):  # another sync was first
                    client.delete_run(existing.info.run_id)
            replaced, created = replaced + (existing is not None), created + (existing is None)
            run_id = begin(client, experiments[name], record["key"], record["name"], timestamp)
            _fill(client, run_id, record, points)
        if record["backbone"] is not None:
            _register(client, f"{name}, {record['name']}", run_id, record, upload=artifacts is None)
        _insist(client.set_tag, run_id, CONTENT, content)
        _insist(client.set_terminated, run_id, "FINISHED", end_time=timestamp)
    if created or replaced:
        for identifier in experiments.values():  # of runs that another sync wrote meanwhile, one is left
            _runs(client, identifier, shared=artifacts is None)
    for name, identifier in experiments.items():
        kind = name.removeprefix(experiment_name(preset, ""))
        tracking_view.present(client, identifier, kind, params[name])
    views = {name: tracking_view.address(at, params[name]) for name, at in experiments.items()}
    return Synced(created, replaced, unchanged, completed, experiments=experiments, views=views)


def _insist(call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Calls, and once more where the database refused: of two syncs that write the same row at once it
    refuses one, which then finds the row there. The same points of the same time are no second points."""
    from mlflow.exceptions import MlflowException

    try:
        call(*arguments, **named)
    except MlflowException:
        time.sleep(0.5)
        call(*arguments, **named)


def begin(client: Any, experiment_id: str, key: str, name: str, start: int, live: bool = False) -> str:
    """Id of a new run; start in milliseconds since 1970."""
    tags = {KEY: key, "mlflow.source.type": "JOB", "mlflow.user": "spd", WRITING: str(int(time.time()))}
    run = client.create_run(
        experiment_id, start_time=start, run_name=name, tags={**tags, **({LIVE: "yes"} if live else {})}
    )
    return run.info.run_id


def _take(record: dict[str, Any], beside: Beside) -> None:
    """Adds to a record what lies beside it."""
    record["metrics"] = {**record["metrics"], **_measured(beside)}
    record["figures"] = [(file, at) for file, at in beside.figures if Path(file).is_file()]
    record["backbone"] = beside.backbone
    record["tables"] = list(beside.tables)
    if beside.job is not None and Path(beside.job).is_file():
        record["provenance"] = {**record["provenance"], "slurm_job": Path(beside.job).read_text().strip()}


def _measured(beside: Beside) -> dict[str, float]:
    """Run time, memory and hours from Snakemake's benchmark file, whose columns may hold `-` or `NA`."""
    if beside.benchmark is None or not Path(beside.benchmark).is_file():
        return {}
    with Path(beside.benchmark).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    row = rows[-1] if rows else {}

    def number(column: str) -> float | None:
        try:
            return float(row.get(column) or "-")
        except ValueError:
            return None

    seconds, cpu = number("s"), number("cpu_time")
    found = {
        "usage/seconds": seconds,
        "usage/peak_memory_mib": number("max_rss"),
        "usage/cpu_hours": None if cpu is None else cpu / 3600,
        "usage/gpu_hours": None if seconds is None else seconds * beside.gpus / 3600,
    }
    return {name: value for name, value in found.items() if value is not None}


def _fill(client: Any, run_id: str, record: dict[str, Any], points: Sequence[Any]) -> None:
    from mlflow.entities import Param, RunTag

    params = [Param(k, _short(v)) for k, v in sorted(record["params"].items()) if v is not None]
    tags = [RunTag(f"spd.{k}", _short(v)) for k, v in sorted(record["provenance"].items()) if v is not None]
    if record["provenance"].get("commit"):
        tags.append(RunTag("mlflow.source.git.commit", record["provenance"]["commit"]))
    if record["tables"]:
        shown = ", ".join(record["tables"])
        tags.append(RunTag("spd.tables", _short(shown)))
        tags.append(RunTag("mlflow.note.content", f"Shown in the tables {_short(shown)}."))
    # One call takes 1,000 items in all.
    room = BATCH - len(params[:100]) - len(tags[:100])
    _insist(client.log_batch, run_id, metrics=points[:room], params=params[:100], tags=tags[:100])
    for start in range(room, len(points), BATCH):
        _insist(client.log_batch, run_id, metrics=points[start : start + BATCH])
    for artifact in record["artifacts"]:
        client.log_artifact(run_id, artifact)
    for file, folder in record["figures"]:
        client.log_artifact(run_id, file, folder or None)


def _missing(client: Any, run: Any, points: Sequence[Any]) -> list[Any] | None:
    """The points that a run written live still lacks; None where it has others, or is no such run."""
    if LIVE not in run.data.tags or CONTENT in run.data.tags:
        return None
    wanted = {(point.key, point.step): point.value for point in points}
    # What only a history in the making has (speed) stays in the run, and the record knows nothing of it.
    passing = {f"train/{name}" for name in PASSING}
    found = [point for point in logged(client, run) if point[0] not in passing]
    if len(found) != len(set(found)) or any(wanted.get((k, step)) != v for k, step, v in found):
        return None
    there = {(key, step) for key, step, _ in found}
    return [point for point in points if (point.key, point.step) not in there]


def logged(client: Any, run: Any) -> list[tuple[str, int, float]]:
    """(name, step, value) of every point of a run."""
    history = [point for key in run.data.metrics for point in client.get_metric_history(run.info.run_id, key)]
    return [(point.key, point.step, point.value) for point in history]


def _register(client: Any, model: str, run_id: str, record: dict[str, Any], *, upload: bool) -> None:
    """One version of a model for each backbone file, by its hash; a local store points at the file itself."""
    from mlflow.exceptions import MlflowException

    model = model.replace("/", "-").replace(":", "")
    with contextlib.suppress(MlflowException):  # it is there
        client.create_registered_model(model)
    source = Path(record["backbone"]).resolve().as_uri()
    if upload:
        client.log_artifact(run_id, record["backbone"], "backbone")
        source = f"{client.get_run(run_id).info.artifact_uri}/backbone/{Path(record['backbone']).name}"
    about = {**record["provenance"], **record["params"], "run_key": record["key"]}
    tags = {f"spd.{key}": _short(value)[:5000] for key, value in about.items() if value is not None}
    client.create_model_version(model, source, run_id, tags=tags)
    same = [
        version
        for version in client.search_model_versions(f"name = '{model}'")
        if version.tags.get("spd.checkpoint") == record["provenance"]["checkpoint"]
    ]
    for version in sorted(same, key=lambda version: int(version.version))[:-1]:
        with contextlib.suppress(MlflowException):  # another sync was first
            client.delete_model_version(model, version.version)


def _points(record: dict[str, Any]) -> Iterator[tuple[str, float, int]]:
    for key, value in sorted(record["metrics"].items()):
        yield key, float(value), 0
    if record["history"] is not None:
        yield from history_points(record["history"])


def history_points(path: str | Path) -> Iterator[tuple[str, float, int]]:
    """(name, value, step) of a training's history; a last line that is cut short is left out."""
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
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
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text[:6000]


def experiment(client: Any, name: str, artifacts: Path | None = None) -> str:
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


def _runs(client: Any, experiment_id: str, shared: bool) -> dict[str, Any]:
    """Active runs by key. Of several (two syncs without a common folder, an interrupted one) a complete one
    is kept, the newest if there are more, and the others are deleted.

    shared: another sync may be writing now; what it has begun lately is not looked at.
    """
    from mlflow.exceptions import MlflowException

    found: dict[str, list[Any]] = {}
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            began = float(tags.get(WRITING, 0))
            lately = time.time() - began < ABANDONED
            if KEY in tags and not (shared and lately and not _usable(run)):
                found.setdefault(tags[KEY], []).append(run)
        token = page.token
        if not token:
            break
    kept = {}
    for key, runs in found.items():
        # The id decides between equals, so that two syncs keep the same one.
        kept[key], *others = sorted(
            runs,
            key=lambda run: (_usable(run), run.info.start_time, run.info.run_id),
            reverse=True,
        )
        for run in others:
            with contextlib.suppress(MlflowException):  # the other sync was first
                client.delete_run(run.info.run_id)
    return kept


def _usable(run: Any) -> bool:
    """Whether a run is complete, or a training writes it: such a one is newer than that of the former."""
    return CONTENT in run.data.tags or LIVE in run.data.tags


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_answer(client: Any, uri: str) -> None:
    """Asks a tracking server (http or https) once, for at most `PATIENCE` seconds without a byte.

    Any answer will do, a refusal too: whoever goes on hears it. Raises ConnectionError with the way out.
    """
    from mlflow.exceptions import MlflowException
    from requests import exceptions

    if not uri.startswith(("http://", "https://")):
        return
    # mlflow reads these at each request
    once = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    before = {name: os.environ.get(name) for name in once}
    os.environ |= once
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, exceptions.ConnectionError | exceptions.Timeout):
            reason = redact(" ".join(str(cause).split()))[:200]
            raise ConnectionError(
                f"MLflow's server at {redact(uri)} does not answer ({reason}). Nothing is lost: results and "
                "run records are on the disk. Start the server or mend MLFLOW_TRACKING_URI and ask for the "
                "target mlflow_sync again; without that variable a local store is filled"
            ) from None
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def connect(uri: str) -> Any:
    # Before the import: mlflow reads these once. A benchmark has no business phoning home.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a run
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=uri)
