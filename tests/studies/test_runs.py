import json
import multiprocessing

from studies import runs
from workflow_scripts.common import provenance


def made_up(key, **values):
    about = {**dict.fromkeys(runs.ABOUT, "x"), "seed": 3, "spd": {"eta": 1.0}, "start": None, "failed": None}
    return {**about, "key": key, "values": values}


def test_runs_are_added_and_a_line_cut_by_a_kill_is_left_out(tmp_path):
    assert runs.load(tmp_path / "a") == []
    first = runs.Writer(tmp_path / "a")
    first.add({"key": "x", "value": 1.5})
    (path,) = (tmp_path / "a").iterdir()
    with path.open("a") as file:
        file.write('{"key": "cut')
    second = runs.Writer(tmp_path / "a")
    second.add({"key": "y"})
    second.add({"key": "x", "value": 2.5})  # two commands did the same run: it counts once
    found = {run["key"]: run for run in runs.load(tmp_path / "a")}
    assert found.keys() == {"x", "y"} and len(list((tmp_path / "a").iterdir())) == 2
    assert len(runs.load(tmp_path / "a")) == 2


def add_many(folder, name):
    writer = runs.Writer(folder)
    for i in range(20):
        writer.add({"key": f"{name}{i}"})


def test_commands_that_add_at_once_lose_nothing(tmp_path):
    others = [multiprocessing.get_context("spawn").Process(target=add_many, args=(tmp_path, n)) for n in "ab"]
    for other in others:
        other.start()
    add_many(tmp_path, "c")
    for other in others:
        other.join(120)
    assert {run["key"] for run in runs.load(tmp_path)} == {f"{n}{i}" for n in "abc" for i in range(20)}


def test_a_run_says_which_code_it_is_of():
    found = runs.code_state()
    assert found["commit"] == provenance.commit()["commit"] and len(found["code"]) == 12
    assert all((runs.STUDIES / name).is_file() for name in runs.MEASURING)


def test_a_key_follows_every_setting_and_no_order():
    assert (
        runs.key_of({"a": 1, "b": [2]}) == runs.key_of({"b": [2], "a": 1}) != runs.key_of({"a": 1, "b": [3]})
    )


def test_a_csv_gives_the_runs_back(tmp_path):
    path = tmp_path / "runs.csv"
    assert runs.read_csv(path) == []
    written = [made_up("a", r=1.25, kNN=17.0), made_up("b", r=0.000123456)]
    runs.write_csv(written, path)
    back = runs.read_csv(path)
    assert [run["values"] for run in back] == [{"r": 1.25, "kNN": 17.0}, {"r": 0.0001235}]
    assert back[0]["spd"] == {"eta": 1.0} and back[0]["seed"] == 3 and back[0]["start"] is None
    assert json.dumps(back)  # as JSON has it: a report of these is the report of the results
    runs.write_csv(back, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == path.read_text()
