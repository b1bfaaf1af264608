"""How trainings start and go on, with Slurm's commands replaced by scripts that note their calls."""

import importlib.util
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "workflow_scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launch, staging = load("launch"), load("staging")


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
        sys.path.insert(0, {str(SCRIPTS)!r})
        from launch import launch, queued_again_when_preempted
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
    from launch import launch, queued_again_when_preempted
    def train():
        with open(f"{folder}/rank{{os.environ['RANK']}} of {{os.environ['WORLD_SIZE']}}", "w"):
            pass
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
    script.write_text(textwrap.dedent(RANKS.format(scripts=str(SCRIPTS), folder=tmp_path, end=end)))
    environment = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stderr
    assert done.stdout == says
    assert {path.name for path in tmp_path.glob("rank*")} == {"rank0 of 2", "rank1 of 2"}
    assert ("no such batch" in done.stderr) == (status == 1)


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


def test_submission_waits_while_slurmctld_is_away(tmp_path):
    command(tmp_path, "sleep", "")
    answer = "Batch job submission failed: Unable to contact slurm controller (connect failure)"
    third = f"[ $(grep -c ^sbatch {tmp_path}/calls.txt) -ge 3 ]"
    command(tmp_path, "sbatch", f'{third} || {{ echo "{answer}" >&2; exit 1; }}\ncat\necho 7')
    wrapper = REPOSITORY / "slurm/bin/sbatch"
    path = f"{wrapper.parent}{os.pathsep}{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        [wrapper, "--parsable", "/dev/stdin"],
        input="#!/bin/sh",
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (0, "#!/bin/sh\n7\n")
    assert calls(tmp_path) == ["sbatch --parsable /dev/stdin", "sleep 10"] * 2 + [
        "sbatch --parsable /dev/stdin"
    ]


def test_refused_submission_is_not_repeated(tmp_path):
    command(tmp_path, "sbatch", 'echo "invalid partition specified: x" >&2; exit 1')
    wrapper = REPOSITORY / "slurm/bin/sbatch"
    done = subprocess.run(
        [wrapper, "--wrap=true"], capture_output=True, text=True, env=with_commands(tmp_path)
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "invalid partition specified: x\n")
    assert len(calls(tmp_path)) == 1


STATUS = ["-X", "--parsable2", "--noheader", "--format=JobIdRaw,State", "--endtime", "now", "--name", "spd_a"]


@pytest.mark.parametrize(
    ("accounting", "said"), [("echo '22_1|RUNNING'", "22_1|RUNNING\n"), ("exit 1", "22_1|PENDING\n")]
)
def test_status_comes_from_sacct_or_without_accounting_from_squeue(tmp_path, accounting, said):
    command(tmp_path, "sacct", accounting)
    command(tmp_path, "squeue", "echo '22_1|PENDING'")
    wrapper = REPOSITORY / "slurm/bin/sacct"
    done = subprocess.run([wrapper, *STATUS], capture_output=True, text=True, env=with_commands(tmp_path))
    assert (done.returncode, done.stdout) == (0, said)
    first, *rest = calls(tmp_path)
    assert "--format=JobID,State" in first, "an array's tasks by the names that Snakemake gave them"
    assert len(rest) == (accounting == "exit 1") and all("--name spd_a" in line for line in rest)


def test_cancel_takes_only_this_folders_jobs_and_waits(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    lines = f"1|spd_a|{here}\\n2|spd_b|/elsewhere\\n3|other|{here}\\n4_2|spd_a|{here}\\n"
    command(
        tmp_path, "squeue", f'[ $(grep -c ^squeue {tmp_path}/calls.txt) -lt 4 ] && printf "{lines}"; true'
    )
    command(tmp_path, "scancel", "")
    command(tmp_path, "sleep", "")
    subprocess.run([REPOSITORY / "slurm/cancel.sh"], cwd=here, env=with_commands(tmp_path), check=True)
    assert [line for line in calls(tmp_path) if not line.startswith("squeue")] == [
        "scancel 1 4_2",
        "sleep 2",
        "sleep 2",
    ]


def test_a_staged_file_is_a_copy_on_the_nodes_disk_that_does_not_stay(tmp_path, monkeypatch):
    source = tmp_path / "features.safetensors"
    source.write_bytes(b"features")
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    with staging.staged(source, "$NODE_DISK") as path:
        assert path.parent.parent == tmp_path / "disk"
        assert path.read_bytes() == b"features"
    assert list((tmp_path / "disk").iterdir()) == []


def test_what_finds_no_room_is_read_where_it_lies(tmp_path, monkeypatch, capsys):
    source = tmp_path / "features.safetensors"
    source.write_bytes(b"features")
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 3}))
    with staging.staged(source, str(tmp_path / "disk")) as path:
        assert path == source
    assert "is read where it lies" in capsys.readouterr().err
    with staging.staged(source, None) as path:
        assert path == source


def test_scratch_with_an_unset_variable_names_the_key(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_DISK", raising=False)
    with (
        pytest.raises(ValueError, match=r"compute\.scratch.*NO_SUCH_DISK"),
        staging.staged(tmp_path, "$NO_SUCH_DISK/x"),
    ):
        pass
