import json

import pytest

from workflow_scripts.common import records, tracking
from workflow_scripts.common.tracking_live import Follower, live


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow")


def line(step, loss):
    return json.dumps({"step": step, "loss": loss}) + "\n"


def follower(store, history, key):
    return Follower(f"sqlite:///{store / 'mlflow.db'}", history, "SPD tiny: backbones", key, key)


def finish(store, folder, key, history):
    path = folder / "record.json"
    records.write_record(
        path,
        key=key,
        experiment="backbones",
        name=key,
        params={"eta": 0.1},
        metrics={"final/loss": 0.25},
        provenance={"code": "abc"},
        history=str(history),
    )
    count, _ = tracking.sync([path], store, preset="tiny")
    return {done: number for done, number in count.items() if number}


def found(store, key):
    """(id of the one run of this key, its curve of losses)"""
    client = tracking.connect(f"sqlite:///{store / 'mlflow.db'}")
    at = client.get_experiment_by_name("SPD tiny: backbones").experiment_id
    (run,) = [run for run in client.search_runs([at]) if run.data.tags[tracking.KEY] == key]
    curve = [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "train/loss")]
    return run, curve


def test_live_points_are_logged_once_and_the_sync_completes_the_same_run(store, tmp_path):
    history = tmp_path / "h.jsonl"
    first = follower(store, history, "a")
    assert first.send() == 0  # nothing there yet
    history.write_text(line(1, 0.5) + line(2, 0.4) + '{"step": 3, "lo')
    assert first.send() == 2
    assert first.send() == 0
    # Preempted after step 2, and continued by another process; the cut line is written again.
    history.write_text(line(1, 0.5) + line(2, 0.4) + line(3, 0.3))
    assert follower(store, history, "a").send() == 1
    live_run, curve = found(store, "a")
    assert curve == [(1, 0.5), (2, 0.4), (3, 0.3)]
    with history.open("a") as file:
        file.write(line(4, 0.25))  # the server was away
    assert finish(store, tmp_path, "a", history) == {"created": 1}
    run, curve = found(store, "a")
    assert run.info.run_id == live_run.info.run_id
    assert curve == [(1, 0.5), (2, 0.4), (3, 0.3), (4, 0.25)]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"eta": "0.1"}
    assert finish(store, tmp_path, "a", history) == {"unchanged": 1}


def test_curves_that_only_a_running_training_has_do_not_cost_it_its_run(store, tmp_path):
    history = tmp_path / "h.jsonl"
    history.write_text(json.dumps({"step": 1, "loss": 0.5, "images_per_second": 90.0}) + "\n")
    follower(store, history, "d").send()
    live_run, _ = found(store, "d")
    history.write_text(line(1, 0.5) + line(2, 0.4))
    assert finish(store, tmp_path, "d", history) == {"created": 1}
    run, curve = found(store, "d")
    assert run.info.run_id == live_run.info.run_id
    assert curve == [(1, 0.5), (2, 0.4)] and run.data.metrics["train/images_per_second"] == 90


def test_a_live_run_with_points_of_another_training_is_replaced(store, tmp_path):
    history = tmp_path / "h.jsonl"
    history.write_text(line(1, 0.5) + line(2, 0.4))
    follower(store, history, "b").send()
    live_run, _ = found(store, "b")
    history.write_text(line(1, 0.5) + line(2, 0.125))
    assert finish(store, tmp_path, "b", history) == {"replaced": 1}
    run, curve = found(store, "b")
    assert run.info.run_id != live_run.info.run_id
    assert curve == [(1, 0.5), (2, 0.125)]


@pytest.mark.parametrize("uri", [None, "sqlite:///mlflow.db"])
def test_without_a_server_no_process_is_started(uri, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    with live(uri, "h.jsonl", experiment="e", key="k", name="n"):
        pass


def test_an_unreachable_server_costs_one_line_and_no_training(tmp_path, capfd):
    history = tmp_path / "h.jsonl"
    history.write_text(line(1, 0.5))
    with live("http://127.0.0.1:9", history, experiment="e", key="k", name="n"):
        done = True
    assert done
    said = capfd.readouterr().err
    assert said.count("no live curves for now") == 1
    assert len(said.splitlines()) == 1, said
