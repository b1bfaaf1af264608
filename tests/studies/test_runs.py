import json
import multiprocessing

import pytest

from spd import provenance
from studies import mechanism, runs


def test_runs_are_added_and_a_line_cut_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "a" / "runs.jsonl"
    assert runs.load(path) == []
    runs.add(path, {"key": "x", "value": 1.5})
    with path.open("a") as file:
        file.write('{"key": "cut')
    runs.add(path, {"key": "y"})
    assert [run["key"] for run in runs.load(path)] == ["x", "y"]
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["x", "y"]
    assert list(path.parent.iterdir()) == [path]


def add_many(path, name):
    for i in range(20):
        runs.add(path, {"key": f"{name}{i}"})


def test_commands_that_add_at_once_lose_nothing(tmp_path):
    path = tmp_path / "runs.jsonl"
    others = [multiprocessing.get_context("spawn").Process(target=add_many, args=(path, n)) for n in "ab"]
    for other in others:
        other.start()
    add_many(path, "c")
    for other in others:
        other.join(120)
    assert sorted(run["key"] for run in runs.load(path)) == sorted(
        f"{n}{i}" for n in "abc" for i in range(20)
    )


def test_a_run_says_which_code_it_is_of_and_keeps_its_key():
    found = runs.code_of(mechanism.__file__)
    assert found["commit"] == provenance.commit()["commit"] and len(found["code"]) == 12
    assert found["code"] != runs.code_of(runs.__file__)["code"]


def test_a_key_follows_every_setting_and_no_order():
    assert (
        runs.key_of({"a": 1, "b": [2]}) == runs.key_of({"b": [2], "a": 1}) != runs.key_of({"a": 1, "b": [3]})
    )


def chosen(path, part="1/1", limit=None):
    words = ["--results", str(path), "--part", part, *(["--limit", str(limit)] if limit else [])]
    return runs.options("a study", 5, path).parse_args(words)


def test_parts_share_the_runs_that_are_left(tmp_path):
    configurations = [{"key": str(i)} for i in range(7)]
    runs.add(tmp_path / "r.jsonl", {"key": "2"})
    parts = [runs.waiting(configurations, chosen(tmp_path / "r.jsonl", f"{i}/3")) for i in (1, 2, 3)]
    assert [[c["key"] for c in part] for part in parts] == [["0", "3", "6"], ["1", "4"], ["5"]]
    assert len(runs.waiting(configurations, chosen(tmp_path / "r.jsonl", limit=4))) == 4


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b"])
def test_a_part_that_is_none_says_what_to_give(tmp_path, part):
    with pytest.raises(SystemExit, match="give I/N"):
        runs.waiting([], chosen(tmp_path / "r.jsonl", part))
