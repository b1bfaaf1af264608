"""How trainings start and go on, with Slurm's commands replaced by scripts that note their calls."""

import importlib.util
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location("launch", REPOSITORY / "workflow_scripts/common/launch.py")
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)


def command(folder, name, body):
    """A stand-in for a command, that appends its arguments to calls.txt."""
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/calls.txt\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def with_commands(folder, **environment):
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **environment}


def calls(folder):
    path = folder / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


# Fields as Slurm 22.05 prints them at SIGTERM, in that order.
@pytest.mark.parametrize(
    ("state", "used", "limit", "back"),
    [
        (
            "RUNNING",
            "00:00:41",
            "00:01:00",
            True,
        ),  # warned of the limit, or of a preemption with a grace time
        ("COMPLETING", "00:00:41", "00:01:00", False),  # cancelled; or preempted: Slurm itself brings it back
        ("COMPLETING", "00:01:13", "00:01:00", True),  # at its limit
        ("COMPLETING", "1-00:00:02", "1-00:00:00", True),
        ("COMPLETING", "23:59:59", "1-00:00:00", False),
        ("COMPLETING", "9-00:00:00", "UNLIMITED", False),
        ("PENDING", "00:00:00", "00:01:00", False),  # in the queue already
    ],
)
def test_which_jobs_come_back(state, used, limit, back):
    line = (
        f"JobId=33 JobName=spd JobState={state} Reason=None Restarts=1 RunTime={used} TimeLimit={limit} X=1"
    )
    assert launch.comes_back(line) is back


def test_unknown_job_does_not_come_back():
    assert launch.comes_back("slurm_load_jobs error: Invalid job id specified") is False


def preempted(folder, state):
    """Sends SIGTERM to a training in a Slurm job of that state; returns its exit status."""
    command(
        folder, "scontrol", f'[ "$1" = show ] && echo "JobState={state} RunTime=00:00:41 TimeLimit=01:00:00"'
    )
    script = folder / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(REPOSITORY)!r})
        from workflow_scripts.common.launch import launch, queued_again_when_preempted
        def train():
            print("training", flush=True)
            time.sleep(60)
        with queued_again_when_preempted():
            launch(train, sys.argv[0], nodes=1, gpus=0)
    """)
    )
    process = subprocess.Popen(
        [sys.executable, script], env=with_commands(folder, SLURM_JOB_ID="33"), stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"training\n"
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def test_preempted_training_queues_its_job_again(tmp_path):
    assert preempted(tmp_path, "RUNNING") == 75
    assert calls(tmp_path) == ["scontrol show job --oneliner 33", "scontrol requeue 33"]


def test_cancelled_training_does_not(tmp_path):
    assert preempted(tmp_path, "COMPLETING") == 75
    assert calls(tmp_path) == ["scontrol show job --oneliner 33"]


RANKS = """
    import os, sys, time
    sys.path.insert(0, {scripts!r})
    from workflow_scripts.common.launch import launch, queued_again_when_preempted
    def train():
        with open(f"{folder}/rank{{os.environ['RANK']}} of {{os.environ['WORLD_SIZE']}}", "w"):
            pass
        while sum(name.startswith("rank") for name in os.listdir({folder!r})) < 2:
            time.sleep(0.01)  # ranks end together, as a training's do
        {end}
    with queued_again_when_preempted():
        launch(train, sys.argv[0], nodes=1, gpus=2)
    print("complete")
"""


@pytest.mark.parametrize(
    ("end", "status", "says"),
    [
        ("pass", 0, "complete\n"),
        ("raise SystemExit(75)", 75, ""),
        ("raise ValueError('no such batch')", 1, ""),
    ],
)
def test_two_gpus_are_two_ranks_of_one_script(tmp_path, end, status, says):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(RANKS.format(scripts=str(REPOSITORY), folder=str(tmp_path), end=end)))
    environment = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stderr
    assert done.stdout == says
    assert {path.name for path in tmp_path.glob("rank*")} == {"rank0 of 2", "rank1 of 2"}
    assert ("no such batch" in done.stderr) == (status == 1)


INTERRUPTED = """
    import os, signal, sys, time
    sys.path.insert(0, {scripts!r})
    from workflow_scripts.common.launch import launch, queued_again_when_preempted
    asked = []
    def train():
        signal.signal(signal.SIGINT, lambda *_: asked.append(1))  # as spd.training: finish the step, save
        open(f"{folder}/rank{{os.environ['RANK']}}", "w").close()
        while not asked:
            time.sleep(0.01)
        time.sleep(1)
        open(f"{folder}/saved{{os.environ['RANK']}}", "w").close()
        raise SystemExit({status})
    try:
        with queued_again_when_preempted():
            launch(train, sys.argv[0], nodes=1, gpus=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize(
    "status", [75, 130]
)  # a rank that learnt of it from the other, and one that was asked
def test_ctrl_c_lets_every_rank_save_and_is_no_failure(tmp_path, status):
    command(tmp_path, "scontrol", "")
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(INTERRUPTED.format(scripts=str(REPOSITORY), folder=str(tmp_path), status=status))
    )
    process = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, script],
        env=with_commands(tmp_path, SLURM_JOB_ID="33"),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while len(list(tmp_path.glob("rank*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved0", "saved1"}
    assert calls(tmp_path) == [], "whoever presses Ctrl-C in a Slurm session wants no job queued again"


def test_two_nodes_meet_on_the_first_by_one_srun():
    found = launch.torchrun("train.py", nodes=2, ranks=4, job="41234")
    assert found[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-id=41234"} <= set(found)
    assert next(word for word in found if word.startswith("--rdzv-endpoint=")).endswith(":21234")
    assert found[-1] == "train.py"


@pytest.mark.parametrize(
    ("environment", "named"),
    [({}, "compute.nodes"), ({"SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "2"}, "slurm-array-jobs")],
)
def test_several_nodes_without_slurm_or_in_an_array_are_refused(monkeypatch, environment, named):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=named):
        launch.launch(lambda: None, "train.py", nodes=2, gpus=8)
