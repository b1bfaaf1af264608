import contextlib
import hashlib
import http.server
import json
import multiprocessing
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from spd.files import file_sha256
from spd.report.names import Names
from workflow_scripts.common import locks, records, tracking, tracking_place


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


def write_backbone(path, backbone, name):
    records.write_record(
        path,
        key=f"backbone/{name}/seed0",
        experiment="backbones",
        name=f"{name} seed0",
        params={"pretraining": name, "seed": 0, "eta": 0.1},
        provenance={"checkpoint": file_sha256(backbone), "code": "c"},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for the module: creating MLflow's schema takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


def runs(store, name):
    client = tracking.connect(f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(f"SPD tiny: {name}")
    return client, client.search_runs([experiment.experiment_id])


def sync(store, paths, **more):
    count, _ = tracking.sync(paths, store, preset="tiny", **more)
    return {done: number for done, number in count.items() if number}


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


def test_one_question_is_over_in_time():
    """Connecting may take as long as the first byte."""
    assert 2 * tracking.PATIENCE <= SAID_WITHIN


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_refuses_has_answered(status):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            tracking.require_answer(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()


def test_twice_adds_nothing_and_a_change_replaces_one(store, tmp_path):
    history = tmp_path / "history.jsonl"
    history.write_text("".join(json.dumps({"step": s, "loss": 1.0 / (s + 1)}) + "\n" for s in range(1200)))
    paths = [write(tmp_path, "a/0", 0.25, history=str(history)), write(tmp_path, "b/0", 0.5)]
    assert sync(store, paths) == {"created": 2}
    assert sync(store, paths) == {"unchanged": 2}
    write(tmp_path, "b/0", 0.75)
    assert sync(store, paths) == {"replaced": 1, "unchanged": 1}
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
    assert sync(store, [path]) == {"created": 1}
    table.write_text("b\n")
    assert sync(store, [path]) == {"replaced": 1}
    client, (run,) = runs(store, "tables")
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["padim.csv"]
    client.delete_tag(run.info.run_id, tracking.CONTENT)
    assert sync(store, [path]) == {"replaced": 1}


def test_a_second_sync_says_that_it_waits_for_the_first(store, tmp_path, capfd):
    path = write(tmp_path, "race/0", 0.5, experiment="race")
    held = locks.acquire(store / "sync.lock")
    second = multiprocessing.get_context("spawn").Process(target=sync, args=(store, [path]))
    second.start()
    said = ""
    while "waits for" not in said:
        assert second.is_alive()
        said += capfd.readouterr().out
        time.sleep(0.1)
    assert f"waits for process {os.getpid()} on" in said
    held.close()
    second.join()
    assert second.exitcode == 0
    assert sync(store, [path]) == {"unchanged": 1}


def test_of_several_runs_of_a_record_one_is_left(store, tmp_path):
    """Two projects that fill one server may write the same run; the next sync tidies up."""
    path = write(tmp_path, "twice/0", 0.5, experiment="twice")
    sync(store, [path])
    client, (run,) = runs(store, "twice")
    again = tracking.begin(client, run.info.experiment_id, "twice/0", "twice/0", 0)
    client.set_tag(again, tracking.CONTENT, run.data.tags[tracking.CONTENT])
    assert sync(store, [path]) == {"unchanged": 1}
    assert len(runs(store, "twice")[1]) == 1


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
        return sync(store, [path], names=names)

    assert synced("MoCo") == {"created": 1}
    assert synced("MoCo") == {"unchanged": 1}
    assert synced("MoCo, ours") == {"replaced": 1}
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
    attached = tracking.Attachments(
        benchmark=str(tmp_path / "b.tsv"),
        gpus=4,
        job=str(tmp_path / "job.slurm"),
        tables=["padim_1class", "ablation"],
        figures=[(str(tmp_path / "map.png"), "heat maps/gear"), (str(tmp_path / "absent.png"), "")],
    )
    assert sync(store, [path], attachments={str(path): attached}) == {"created": 1}
    assert sync(store, [path], attachments={str(path): attached}) == {"unchanged": 1}
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
        write_backbone(path, backbone, "moco")
        names = Names({}, {"moco": {"label": label, "spd": "spd", "labels": False}})
        attached = tracking.Attachments(backbone=str(backbone))
        sync(store, [path], names=names, attachments={str(path): attached})

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


def test_an_experiment_says_what_its_runs_are(store, tmp_path):
    path = write(tmp_path, "cell/x", 0.5, experiment="PaDiM 1cls")
    sync(store, [path])
    client, (run,) = runs(store, "PaDiM 1cls")
    number = run.info.experiment_id
    assert "cell of the tables" in client.get_experiment(number).tags["mlflow.note.content"]
    client.set_experiment_tag(number, "mlflow.note.content", "Mine.")
    sync(store, [path])
    assert client.get_experiment(number).tags["mlflow.note.content"] == "Mine."


def test_a_store_that_was_moved_finds_its_artefacts_and_models_again(store, tmp_path):
    home = tmp_path / "first place"
    away = home / "deeper, another place"  # every new address begins as the old ones do
    home.mkdir()
    (home / "table.csv").write_text("from the first place")
    (home / "backbone.safetensors").write_bytes(b"1")
    table = write(home, "moved/t", 0.5, experiment="moved", artifacts=(str(home / "table.csv"),))
    backbone = home / "b.json"
    write_backbone(backbone, home / "backbone.safetensors", "moved")
    attached = {str(backbone): tracking.Attachments(backbone=str(home / "backbone.safetensors"))}
    shutil.copytree(store, home / "mlflow")

    def synced(folder):
        return sync(folder / "mlflow", [table, backbone], attachments=attached)

    assert synced(home)["created"] == 2
    shutil.move(shutil.copytree(home, tmp_path / "copy"), away)
    shutil.rmtree(home / "mlflow")  # what a copy shows must be its own
    assert set(done := synced(away)) == {"moved", "unchanged"} and done["unchanged"] == 2
    assert synced(away) == {"unchanged": 2}

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
