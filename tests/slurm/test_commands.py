"""slurm/bin and slurm/cancel.sh, with Slurm's commands replaced by scripts that note their calls."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


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


def test_the_folder_of_a_jobs_log_is_no_pattern(tmp_path):
    command(tmp_path, "sbatch", "printf '%s|' \"$@\"")
    call = ["--comment", "100%n", "--output", "logs/metal%20nut $(x)/%j.log", "--wrap", "echo %j"]
    done = subprocess.run(
        [REPOSITORY / "slurm/bin/sbatch", *call], capture_output=True, text=True, env=with_commands(tmp_path)
    )
    call[3] = "logs/metal%%20nut $(x)/%j.log"
    assert done.stdout == "|".join(call) + "|\n"


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


def srun(folder, *arguments, **options):
    """Runs slurm/bin/srun with the stand-ins of `folder`."""
    path = f"{REPOSITORY / 'slurm/bin'}{os.pathsep}{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["srun", *arguments], capture_output=True, text=True, env={**os.environ, "PATH": path}, **options
    )


def test_a_step_waits_while_slurmctld_is_away(tmp_path):
    command(tmp_path, "sleep", "")
    up = (
        f"[ $(grep -c ^scontrol {tmp_path}/calls.txt) -ge 3 ] && echo 'Slurmctld(primary) at c is UP' && exit"
    )
    command(tmp_path, "scontrol", f"{up}\necho 'Slurmctld(primary) at c is DOWN'; exit 1")
    command(tmp_path, "srun", "$SLURM_TASK_PROLOG; cat; exit 3")
    done = srun(tmp_path, "-n1", "sh", input="a script")
    assert (done.returncode, done.stdout) == (3, "a script")
    assert calls(tmp_path) == ["scontrol ping", "sleep 10"] * 2 + ["scontrol ping", "srun -n1 sh"]


def test_a_step_that_never_began_is_started_again_with_the_same_script(tmp_path):
    command(tmp_path, "sleep", "")
    command(tmp_path, "scontrol", "echo 'Slurmctld(primary) at c is UP'")
    gone = "echo 'srun: error: Unable to confirm allocation for job 7: Zero Bytes' >&2; exit 1"
    second = f"[ $(grep -c ^srun {tmp_path}/calls.txt) -ge 2 ]"
    command(tmp_path, "srun", f"{second} || {{ {gone}; }}\n$SLURM_TASK_PROLOG; cat; exit 3")
    done = srun(tmp_path, "-n1", "sh", "-s", input="a script")
    assert (done.returncode, done.stdout) == (3, "a script\n")
    assert "before its step began" in done.stderr
    once = ["scontrol ping", "srun -n1 sh -s"]
    assert calls(tmp_path) == [*once, "sleep 10", *once], "and what fails in its step is not"


def test_a_step_that_cannot_begin_fails_after_a_minute(tmp_path):
    command(tmp_path, "sleep", "")
    command(tmp_path, "scontrol", "echo 'Slurmctld(primary) at c is UP'")
    command(tmp_path, "srun", "exit 5")
    assert srun(tmp_path, "-n1", "sh").returncode == 5
    assert calls(tmp_path).count("srun -n1 sh") == 6


def test_a_step_that_slurm_ends_before_it_began_is_not_started_again(tmp_path):
    command(tmp_path, "sleep", "")
    command(tmp_path, "scontrol", "echo 'Slurmctld(primary) at c is UP'")
    command(tmp_path, "srun", "kill -TERM $PPID; exit 143")
    assert srun(tmp_path, "-n1", "sh").returncode == 143
    assert calls(tmp_path) == ["scontrol ping", "srun -n1 sh"]
