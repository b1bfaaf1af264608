import json

from studies import runs


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


def test_a_key_follows_every_setting_and_no_order():
    assert (
        runs.key_of({"a": 1, "b": [2]}) == runs.key_of({"b": [2], "a": 1}) != runs.key_of({"a": 1, "b": [3]})
    )
