import contextlib
import hashlib
import http.server
import json
import multiprocessing
import os
import shutil
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from spd.report.names import Names
from workflow_scripts.common import records, tracking, tracking_place


def write(folder, key, value, **more):
    path = folder / f"{key.replace('/', '_')}.json"
    records.write_record(
        path,
        key=key,
        experiment=more.pop("experiment", "pre-training"),
        name=key,
        params={"method": "SimSiam", "eta": value},
        metrics={"padim/au_roc": value},
        provenance={"code": "abc"},
        **more,
    )
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for the module: creating MLflow's schema takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


def runs(store, name):
    client = tracking.connect(f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(f"SPD tiny: {name}")
    return client, client.search_runs([experiment.experiment_id])


def sync(store, paths):
    return tracking.sync(paths, store, preset="tiny", progress=False)


@pytest.fixture
def listening():
    """A socket that accepts connections, keeps them and never answers: `listening.accepted` of them."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)
    over, kept = threading.Event(), []

    def accept():
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                kept.append(server.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    yield SimpleNamespace(port=server.getsockname()[1], accepted=kept)
    over.set()
    thread.join()
    for connection in [server, *kept]:
        connection.close()


SAID_WITHIN = 20  # seconds


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_server_out_of_reach_is_said_after_one_question(kind, listening, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    port = listening.port
    if kind == "closed":
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
    with pytest.raises(
        ConnectionError, match=rf"server at http://\*\*\*@127\.0\.0\.1:{port} does not"
    ) as error:
        tracking.sync([], tmp_path, preset="tiny", tracking_uri=f"http://me:hidden@127.0.0.1:{port}")
    assert "mlflow_sync again" in str(error.value) and "hidden" not in str(error.value)
    assert len(listening.accepted) == (kind == "silent")
    # the workflow's own requests are as patient as before
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_one_question_is_over_in_time():
    """Connecting may take as long as the first byte."""
    assert 2 * tracking.PATIENCE <= SAID_WITHIN


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_server_that_refuses_has_answered(status):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        do_POST = do_GET

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        try:
            tracking.require_answer(tracking.connect(uri), uri)
        finally:
            server.shutdown()


def test_twice_adds_nothing_and_a_change_replaces_one(store, tmp_path):
    history = tmp_path / "history.jsonl"
    history.write_text("".join(json.dumps({"step": s, "loss": 1.0 / (s + 1)}) + "\n" for s in range(1200)))
    paths = [write(tmp_path, "a/0", 0.25, history=str(history)), write(tmp_path, "b/0", 0.5)]
    assert sync(store, paths) == tracking.Synced(2, 0, 0)
    assert sync(store, paths) == tracking.Synced(0, 0, 2)
    write(tmp_path, "b/0", 0.75)
    assert sync(store, paths) == tracking.Synced(0, 1, 1)
    client, found = runs(store, "pre-training")
    by_key = {run.data.tags[tracking.KEY]: run for run in found}
    assert set(by_key) == {"a/0", "b/0"}
    assert by_key["b/0"].data.metrics["padim/au_roc"] == 0.75
    assert by_key["b/0"].data.params["method"] == "SimSiam"
    steps = client.get_metric_history(by_key["a/0"].info.run_id, "train/loss")
    assert [point.value for point in steps] == [1.0 / (s + 1) for s in range(1200)]


def test_changed_artefact_and_interrupted_run_are_written_anew(store, tmp_path):
    table = tmp_path / "padim.csv"
    table.write_text("a\n")
    path = write(tmp_path, "t/padim", 0.5, experiment="tables", artifacts=(str(table),))
    assert sync(store, [path]).created == 1
    table.write_text("b\n")
    assert sync(store, [path]).replaced == 1
    client, (run,) = runs(store, "tables")
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["padim.csv"]
    client.delete_tag(run.info.run_id, tracking.CONTENT)
    assert sync(store, [path]).replaced == 1


def test_two_syncs_at_once_leave_one_run_each(store, tmp_path):
    paths = [write(tmp_path, f"race/{i}", i / 8, experiment="race") for i in range(4)]
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=sync, args=(store, paths)) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    _, found = runs(store, "race")
    assert sorted(run.data.tags[tracking.KEY] for run in found) == [f"race/{i}" for i in range(4)]


def test_names_are_put_in_and_another_name_replaces_the_run(store, tmp_path):
    path = tmp_path / "named.json"
    records.write_record(
        path,
        key="named/0",
        experiment="named",
        name="moco",
        params={"pretraining": "moco", "dataset": "visa"},
        metrics={},
        provenance={},
    )

    def synced(label):
        names = Names({"visa": "VisA"}, {"moco": {"label": label, "spd": "none", "labels": False}})
        return tracking.sync([path], store, preset="tiny", names=names, progress=False)

    assert synced("MoCo").created == 1
    assert synced("MoCo").unchanged == 1
    assert synced("MoCo, ours").replaced == 1
    _, (run,) = runs(store, "named")
    assert run.data.params == {
        "pretraining": "moco",
        "dataset": "VisA",
        "method": "MoCo, ours",
        "spd": "none",
        "labels": "false",
    }


def test_a_run_shows_what_its_job_cost_and_which_tables_show_it(store, tmp_path):
    path = write(tmp_path, "cost/0", 0.5, experiment="cost")
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    (tmp_path / "b.tsv").write_text(head + "1800\t0:30:00\t2048.5\t1\t1\t1\t-\tNA\t1\t7200\n")
    (tmp_path / "job.slurm").write_text("4711\n")
    (tmp_path / "map.png").write_bytes(b"png")
    beside = tracking.Beside(
        benchmark=str(tmp_path / "b.tsv"),
        gpus=4,
        job=str(tmp_path / "job.slurm"),
        tables=["padim_1class", "ablation"],
        figures=[(str(tmp_path / "map.png"), "heat maps/gear"), (str(tmp_path / "absent.png"), "")],
    )

    def synced():
        return tracking.sync([path], store, preset="tiny", beside={str(path): beside}, progress=False)

    assert synced().created == 1
    assert synced().unchanged == 1
    client, (run,) = runs(store, "cost")
    expected = {"seconds": 1800, "peak_memory_mib": 2048.5, "cpu_hours": 2, "gpu_hours": 2}
    expected = {f"usage/{name}": value for name, value in expected.items()}
    assert expected.items() <= run.data.metrics.items()
    assert run.data.tags["spd.slurm_job"] == "4711"
    assert run.data.tags["spd.tables"] == "padim_1class, ablation"
    (item,) = client.list_artifacts(run.info.run_id, "heat maps/gear")
    assert item.path == "heat maps/gear/map.png"


def test_a_backbone_is_a_model_with_its_provenance_one_version_a_file(store, tmp_path):
    backbone = tmp_path / "backbone.safetensors"

    def synced(content, label):
        backbone.write_bytes(content)
        path = tmp_path / "r.json"
        records.write_backbone_record(
            path, backbone, pretraining="moco", seed=0, params={"eta": 0.1}, provenance={"code": "c"}
        )
        names = Names({}, {"moco": {"label": label, "spd": "spd", "labels": False}})
        beside = {str(path): tracking.Beside(backbone=str(backbone))}
        tracking.sync([path], store, preset="tiny", names=names, beside=beside, progress=False)

    for content, label in ((b"1", "MoCo"), (b"1", "MoCo v2"), (b"2", "MoCo v2")):
        synced(content, label)
    client, (run,) = runs(store, "backbones")
    versions = client.search_model_versions("name = 'SPD tiny backbones, moco seed0'")
    hashes = {hashlib.sha256(content).hexdigest() for content in (b"1", b"2")}
    assert {version.tags["spd.checkpoint"] for version in versions} == hashes
    assert len(versions) == 2
    (newest,) = [version for version in versions if version.run_id == run.info.run_id]
    assert newest.tags["spd.run_key"] == "backbone/moco/seed0"
    assert newest.tags["spd.eta"] == "0.1"
    assert newest.source == backbone.as_uri()


def test_an_experiment_says_what_its_runs_are_and_has_a_grouped_view(store, tmp_path):
    cells, path = "PaDiM 1cls", tmp_path / "cell.json"
    about = {"key": "cell/x", "experiment": cells, "name": "x", "params": {"pretraining": "simsiam"}}
    records.write_record(path, **about, metrics={}, provenance={})
    names = Names({}, {"simsiam": {"label": "SimSiam", "spd": "none", "labels": False}})

    def synced(path):
        return tracking.sync([path], store, preset="tiny", names=names, progress=False)

    done = synced(path)
    client, _ = runs(store, cells)
    number = done.experiments[f"SPD tiny: {cells}"]
    tags = client.get_experiment(number).tags
    keys = json.loads(tags["mlflow.sharedViewState.spd"])["groupBy"]["groupByKeys"]
    assert [key["groupByData"] for key in keys] == ["method", "spd"]
    query = "workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=spd"
    address = f"/#/experiments/{number}/runs?{query}"
    assert done.views[f"SPD tiny: {cells}"] == address
    assert "cell of the tables" in tags["mlflow.note.content"]

    client.set_experiment_tag(number, "mlflow.note.content", "Mine.")
    synced(path)
    assert client.get_experiment(number).tags["mlflow.note.content"] == "Mine."

    plain = synced(write(tmp_path, "t/0", 0.5, experiment="others"))  # without the param `spd`
    assert plain.views["SPD tiny: others"].endswith("&compareRunsMode=CHART")


def test_syncs_that_share_a_store_but_no_folder_leave_one_run_each(store, tmp_path):
    uri = f"sqlite:///{store / 'mlflow.db'}"
    paths = [write(tmp_path, f"apart/{i}", i / 8, experiment="apart") for i in range(3)]
    sync(store, [write(tmp_path, "first", 0, experiment="first")])  # the schema is there
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(
            target=tracking.sync,
            args=(paths, tmp_path / str(i)),
            kwargs={"preset": "tiny", "tracking_uri": uri, "progress": False},
        )
        for i in range(2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    _, found = runs(store, "apart")
    assert sorted(run.data.tags[tracking.KEY] for run in found) == [f"apart/{i}" for i in range(3)]
    assert all(tracking.CONTENT in run.data.tags for run in found)


def test_a_store_that_was_moved_finds_its_artefacts_and_models_again(store, tmp_path):
    home = tmp_path / "first place"
    away = home / "deeper, another place"  # every new address begins as the old ones do
    home.mkdir()
    (home / "table.csv").write_text("from the first place")
    (home / "backbone.safetensors").write_bytes(b"1")
    table = write(home, "moved/t", 0.5, experiment="moved", artifacts=(str(home / "table.csv"),))
    backbone = home / "b.json"
    records.write_backbone_record(
        backbone, home / "backbone.safetensors", pretraining="moved", seed=0, params={}, provenance={}
    )
    beside = {str(backbone): tracking.Beside(backbone=str(home / "backbone.safetensors"))}
    shutil.copytree(store, home / "mlflow")

    def synced(folder):
        paths = [table, backbone]
        return tracking.sync(paths, folder / "mlflow", preset="tiny", beside=beside, progress=False)

    assert synced(home).created == 2
    shutil.move(shutil.copytree(home, tmp_path / "copy"), away)
    shutil.rmtree(home / "mlflow")  # what a copy shows must be its own
    done = synced(away)
    assert (done.created, done.replaced, done.unchanged) == (0, 0, 2) and done.moved > 0
    assert synced(away).moved == 0

    client, (run,) = runs(away / "mlflow", "moved")
    downloaded = client.download_artifacts(run.info.run_id, "table.csv", str(tmp_path))
    assert Path(downloaded).read_text() == "from the first place"
    assert run.info.artifact_uri.startswith((away / "mlflow/artifacts").as_uri())
    (version,) = client.search_model_versions("name = 'SPD tiny backbones, moved seed0'")
    assert version.source == (away / "backbone.safetensors").as_uri()


def test_a_database_without_its_artefacts_keeps_their_addresses(store, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a")
    sync(store, [write(tmp_path, "stays/0", 0.5, experiment="stays", artifacts=(str(table),))])
    (tmp_path / "alone").mkdir()
    shutil.copy(store / "mlflow.db", tmp_path / "alone")
    assert tracking_place.relocate(tmp_path / "alone") == 0
    assert tracking_place.relocate(tmp_path / "nothing here") == 0
    client, (run,) = runs(tmp_path / "alone", "stays")
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["t.csv"]
