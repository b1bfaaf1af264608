"""A killed run, continued, ends with the same bytes as one that was never interrupted."""

import pytest


@pytest.fixture(scope="module")
def resumed(worker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    process = worker("resume", folder)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return folder


@pytest.mark.parametrize(
    "case", ["simsiam spd", "moco spd", "simclr base", "simclr spd", "supervised spd", "simsiam xent"]
)
@pytest.mark.parametrize("end", ["killed", "terminated"])
def test_bitwise(resumed, case, end):
    # killed: SIGKILL two steps after the last save; terminated: SIGTERM (moco: SIGUSR1, simclr:
    # SIGINT), saved and exited with its own status
    for name in ("backbone.safetensors", "history.jsonl"):
        straight = (resumed / case / "straight" / name).read_bytes()
        assert (resumed / case / end / name).read_bytes() == straight
    assert sorted(p.name for p in (resumed / case / end).iterdir()) == [
        "backbone.safetensors",
        "history.jsonl",
    ]


def test_runs_differ_where_they_should(resumed):
    # the comparison above means nothing if all runs wrote the same
    histories = {
        (resumed / case / "straight" / "history.jsonl").read_bytes()
        for case in ("simsiam spd", "simsiam xent")
    }
    assert len(histories) == 2
