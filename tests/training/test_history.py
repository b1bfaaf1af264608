import json

from spd.training.history import History


def lines(path):
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_lines_of_a_step_become_one(tmp_path):
    history = History(tmp_path / "making")
    history.start(0)
    history.add(step=1, loss=2.0)
    history.add(step=2, loss=1.0)
    history.add(step=2, knn=0.5)
    assert history.first == {"step": 1, "loss": 2.0}
    assert history.last == {"step": 2, "loss": 1.0, "knn": 0.5}
    history.finish(tmp_path / "deep" / "history.jsonl")
    assert lines(tmp_path / "deep" / "history.jsonl") == [history.first, history.last]
    assert not (tmp_path / "making").exists()


def test_after_a_kill_lines_beyond_the_checkpoint_are_dropped(tmp_path):
    (tmp_path / "making").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo')
    history = History(tmp_path / "making")
    history.start(1)
    assert lines(tmp_path / "making") == [{"step": 1, "loss": 2.0}]
    history.start(0)
    assert history.lines == {1: {"step": 1, "loss": 2.0}}


def test_a_new_run_does_not_keep_the_lines_of_an_old_one(tmp_path):
    (tmp_path / "making").write_text('{"step": 1, "loss": 2.0}\n')
    history = History(tmp_path / "making")
    history.start(0)
    assert history.last == {} and (tmp_path / "making").read_text() == ""


def test_what_json_cannot_hold_becomes_null(tmp_path):
    history = History(tmp_path / "making")
    history.start(0)
    history.add(step=1, loss=float("nan"), gradient_norm=float("inf"))
    assert lines(tmp_path / "making") == [{"step": 1, "loss": None, "gradient_norm": None}]


def test_other_ranks_write_nothing(tmp_path):
    history = History(tmp_path / "making", writes=False)
    history.start(0)
    history.add(step=1, loss=1.0)
    assert list(tmp_path.iterdir()) == []
