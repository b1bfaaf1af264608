"""job.py in processes of its own, with a stand-in for what Snakemake gives to a script."""

import subprocess
import sys
from pathlib import Path

import pytest

from spd.files import read_json
from workflow_scripts.common.provenance import source_hash

REPOSITORY = Path(__file__).resolve().parents[3]

HEAD = """
import sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from workflow_scripts.common import job
snakemake = SimpleNamespace(
    rule="paint", wildcards=["gear", "0"], threads=3, log=["logs/paint.log"], output=["out/a b.txt"],
    input=[], resources={}, config=CONFIG,
)
"""


@pytest.fixture
def script(tmp_path):
    """`script(body, config={})` runs a script's body and returns (exit status, terminal, log)."""

    def run(body, config=None):
        text = HEAD.replace("CONFIG", repr(config or {})) + body
        done = subprocess.run(
            [sys.executable, "-c", text, str(REPOSITORY)], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stdout == ""
        return done.returncode, done.stderr, (tmp_path / "logs/paint.log").read_text()

    return run


def test_output_goes_to_the_log_and_not_to_the_terminal(script):
    body = "with job.running(snakemake):\n    print('plain')\n    print('error', file=sys.stderr)\n"
    assert script(body) == (0, "", "plain\nerror\n")


def test_a_progress_bar_leaves_each_state_on_a_line_of_the_log(script):
    body = """
with job.running(snakemake):
    from tqdm import tqdm
    for _ in tqdm(range(3), desc="paint", mininterval=0):
        pass
"""
    status, _, log = script(body)
    assert status == 0 and "\r" not in log
    states = [line.partition("%")[0].strip() for line in log.splitlines() if "%" in line]
    assert list(dict.fromkeys(states)) == [
        "paint:   0",
        "paint:  33",
        "paint:  67",
        "paint: 100",
    ]


def test_the_latest_line_is_echoed_with_the_jobs_name_at_most_so_often(script):
    body = """
job.ECHO_SECONDS = 0
with job.running(snakemake):
    sys.stdout.write("one\\n")
    job.ECHO_SECONDS = 100
    print("two")
"""
    assert script(body) == (0, "[paint gear 0] one\n", "one\ntwo\n")


def test_what_a_user_can_mend_is_one_line_with_the_log_and_the_command(script):
    body = "with job.running(snakemake):\n    raise ValueError('nuts.csv: no column label')\n"
    status, terminal, log = script(body, {"preset": "tiny", "datasets": {}})
    assert status == 1
    assert terminal.splitlines() == [
        "[paint gear 0] failed: nuts.csv: no column label",
        "    log: logs/paint.log",
        "    only this again: snakemake --cores all 'out/a b.txt' --config preset=tiny "
        "(with this run's --configfile)",
    ]
    assert log.startswith("Traceback") and log.endswith("ValueError: nuts.csv: no column label\n")


def test_an_unexpected_failure_shows_its_kind_and_the_end_of_the_log(script):
    body = "with job.running(snakemake):\n    print('before')\n    {}['key']\n"
    status, terminal, _ = script(body)
    assert status == 1
    assert terminal.startswith("[paint gear 0] failed: KeyError: 'key'\n")
    assert "    KeyError: 'key'\n" in terminal and "Traceback" in terminal


def test_a_long_reason_is_cut(script):
    body = "with job.running(snakemake):\n    raise ValueError('\\n'.join(map(str, range(100))))\n"
    _, terminal, log = script(body)
    assert f"... and {100 - 39} lines more in the log" in terminal
    assert "\n99\n" in log


def test_a_record_says_which_script_ran(script, tmp_path):
    body = """
__file__ = "paint.py"  # as Snakemake sets it
with open(__file__, "w") as file:
    file.write("import spd.tensors")
with job.running(snakemake) as running:
    running.record("paint/gear", "pictures", "gear", {"colour": "red"}, {"data": "x"}, metrics={"area": 2})
"""
    assert script(body)[0] == 0
    record = read_json(tmp_path / "out/a b.txt")
    assert (record["key"], record["params"], record["metrics"]) == (
        "paint/gear",
        {"colour": "red"},
        {"area": 2},
    )
    assert (record["metrics"], record["provenance"]["data"]) == ({"area": 2}, "x")
    assert record["provenance"]["code"] == source_hash(tmp_path / "paint.py")


@pytest.mark.parametrize(("resources", "cpus"), [({}, "3"), ({"cpus_per_task": 7}, "7")])
def test_threads_are_set_before_any_library_reads_them(script, resources, cpus):
    body = f"""
snakemake.resources = {resources!r}
with job.running(snakemake):
    import os
    print([os.environ[v + "_NUM_THREADS"] for v in ("OMP", "MKL", "OPENBLAS", "NUMBA")])
    print([m for m in ("numpy", "torch", "numba") if m in sys.modules])
"""
    assert script(body)[2] == f"{[cpus] * 4}\n[]\n"
