"""How a training starts and how it goes on: one process or torchrun's ranks, and preempted jobs wait again.

A training that is asked to stop (SIGTERM, from Slurm or from a user) saves and ends with status 75; one that
Ctrl-C stops (SIGINT, which a terminal sends to every process of the run) saves and is simply interrupted. In
a Slurm job that nobody cancelled - a time limit that comes near, a preemption - the job then puts itself back
into the queue under its own id: Snakemake sees it wait and run again, counts no failure, and the training
continues from its checkpoint. A cancelled job stays away: that is a failure like any other, which Snakemake
retries.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SCONTROL_ATTEMPTS = 180  # while slurmctld is away: half an hour
PREEMPTED = os.EX_TEMPFAIL  # spd.training.signals.PREEMPTED, known before torch is imported


def is_rank() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(train: Callable[[], Any], script: str, *, nodes: int, gpus: int) -> None:
    """Calls `train`, here or in each of torchrun's ranks; returns when the training is complete.

    script: the file that runs, which each rank runs again; it calls `launch` with the same arguments and then
    finds itself a rank. nodes: of this Slurm job. gpus: on all nodes together; a rank each, and one rank a
    node where there is none. Raises RuntimeError where ranks failed, SystemExit(75) after a preemption,
    KeyboardInterrupt after Ctrl-C, and ValueError for nodes without Slurm.
    """
    ranks = max(1, gpus // nodes)
    if is_rank():
        with _marked_when_preempted():
            train()
        sys.exit(0)
    if nodes * ranks == 1:
        train()
        return
    if nodes > 1 and "SLURM_JOB_ID" not in os.environ:
        raise ValueError(
            f"compute.nodes, or nodes of compute.trainings: {nodes} nodes need Slurm (--profile slurm); "
            "1 uses this machine alone"
        )
    if nodes > 1 and "SLURM_ARRAY_TASK_ID" in os.environ:
        # The plugin would run the array's first training in each of its tasks.
        raise ValueError("slurm-array-jobs: leave pretrain out of it where trainings have several nodes")
    _run_ranks(script, nodes, ranks)


def torchrun(script: str, nodes: int, ranks: int, job: str | None) -> list[str]:
    """The command that starts `ranks` processes on each of `nodes` nodes; `job`: the Slurm job's id."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--max-restarts=0"]
    if nodes == 1:
        return [*command, "--standalone", script]
    # The job's script runs on its first node. A port of the job's own: another job may share the node.
    meeting = f"{socket.gethostname()}:{20000 + int(job) % 20000}"
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return [
        *step,
        *command,
        f"--nnodes={nodes}",
        f"--rdzv-id={job}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={meeting}",
        script,
    ]


def _run_ranks(script: str, nodes: int, ranks: int) -> None:
    job = os.environ.get("SLURM_JOB_ID")
    marker = Path(f"{script}.preempted")  # next to the script, where every node sees it
    command = torchrun(script, nodes, ranks, job)
    print(" ".join(command), file=sys.stderr)
    # The ranks are asked to stop by the same signal: wait for them to save.
    asked: list[int] = []
    former = {
        number: signal.signal(number, lambda number, _: asked.append(number))
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    }
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "SPD_PREEMPTED": str(marker)},
    )
    for chunk in iter(lambda: process.stdout.read1(65536), b""):
        sys.stderr.write(chunk.decode("utf-8", "backslashreplace"))
    status = process.wait()
    for number, handler in former.items():
        signal.signal(number, handler)
    preempted = marker.exists()
    marker.unlink(missing_ok=True)
    if status and signal.SIGINT in asked:
        raise KeyboardInterrupt
    if status and preempted:
        raise SystemExit(PREEMPTED)
    if status:
        raise RuntimeError(
            f"a rank failed (torchrun ended with status {status}); the log above its traceback says why"
        )


@contextlib.contextmanager
def _marked_when_preempted() -> Iterator[None]:
    """torchrun ends with status 1 whatever its ranks end with, so a file says that they were preempted."""
    try:
        yield
    except SystemExit as leaving:
        if leaving.code == PREEMPTED:  # on any rank: torchrun ends the others once the first has left
            Path(os.environ["SPD_PREEMPTED"]).touch()
        raise


@contextlib.contextmanager
def queued_again_when_preempted() -> Iterator[None]:
    """Ends with status 75 at SIGTERM and SIGUSR1, before and after the training too, and goes on later.

    Entered first of all: importing torch takes seconds, in which a preemption may come.
    """
    if is_rank():
        yield
        return

    def leave(*_: object) -> None:
        raise SystemExit(PREEMPTED)

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, leave)
    try:
        yield
    except SystemExit as leaving:
        if leaving.code == PREEMPTED and "SLURM_JOB_ID" in os.environ:
            _queue_again(os.environ["SLURM_JOB_ID"])
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)


def comes_back(job: str) -> bool:
    """Whether a job that is told to stop is to run again, from what `scontrol show job --oneliner` says.

    A running job was warned of its time limit or of a preemption. One that already ends was cancelled, unless
    its time is over; a preempted one that already ends is queued again by Slurm itself.
    """
    fields = dict(re.findall(r"\b(JobState|RunTime|TimeLimit)=(\S+)", job))
    if fields.get("JobState") == "COMPLETING":
        used, limit = _seconds(fields.get("RunTime", "")), _seconds(fields.get("TimeLimit", ""))
        return used is not None and limit is not None and used >= limit
    return fields.get("JobState") == "RUNNING"


def _seconds(clock: str) -> int | None:
    """Slurm's [days-]hours:minutes:seconds; None for UNLIMITED and the like."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", clock)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    for _ in range(SCONTROL_ATTEMPTS):
        done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True)
        if "Unable to contact slurm controller" not in done.stderr:
            break
        time.sleep(10)
    return done


def _queue_again(job: str) -> None:
    if not comes_back(_scontrol("show", "job", "--oneliner", job).stdout):
        print(
            f"Slurm is ending job {job}: the training is saved and waits to be started again", file=sys.stderr
        )
        return
    done = _scontrol("requeue", job)
    said = "is queued again" if done.returncode == 0 else f"could not be queued again: {done.stderr.strip()}"
    print(f"Slurm job {job} {said}", file=sys.stderr)
