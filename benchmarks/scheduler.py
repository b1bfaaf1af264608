"""What Snakemake itself costs: the paper preset's dry run, and the scheduler's overhead per stub job.

    python benchmarks/scheduler.py [--jobs 1000 10000] [--parallel 2] [--minutes 20] [--write]

The stub jobs are half `features` and half `detect`, each of which reads one of the former, and one table that
reads them all. A stub touches its output and nothing else; what the same commands take in a plain loop is the
peer. Each number of jobs is run with both of Snakemake's schedulers, each with all jobs that are ready before
it and with a random part of them (`--scheduler-subsample`). CPU time (user and system, children included) is
what is compared: other load on the machine does not count in it.
"""

import argparse
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import machine, write_section

ROOT = Path(__file__).resolve().parent.parent

STUBS = """
rule table:
    input: expand("detect/{{i}}", i=range({pairs}))
    output: "table"
    shell: "touch {{output}}"
rule features:
    output: "features/{{i}}"
    shell: "touch {{output}}"
rule detect:
    input: "features/{{i}}"
    output: "detect/{{i}}"
    shell: "touch {{output}}"
"""


class Used(NamedTuple):
    """What a command used, its children included."""

    cpu: float
    """Seconds, user and system."""
    wall: float
    """Seconds."""
    peak: float
    """MiB, largest resident set of one process."""
    output: str
    complete: bool
    """Not ended by the limit."""


def measure(command: list[str], folder: Path, limit: float | None = None) -> Used:
    """Runs a command in `folder`, at most `limit` seconds; RuntimeError with its last lines if it fails."""
    # A Snakemake of the user's own profile would measure that profile.
    environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    log = folder / "log"
    with log.open("w") as file:
        begin = time.monotonic()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = threading.Event()
        watch = threading.Thread(target=_end, args=(child.pid, limit, ended))
        watch.start()
        _, status, usage = os.wait4(child.pid, 0)
        ended.set()
        watch.join()
        child.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text()
    if child.returncode not in (0, -signal.SIGKILL if limit else 0):
        raise RuntimeError(f"{' '.join(command)}: status {child.returncode}\n{output[-2000:]}")
    wall = time.monotonic() - begin
    return Used(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, output, not child.returncode)


def _end(group: int, limit: float | None, ended: threading.Event) -> None:
    """Kills a process group that has not ended within `limit` seconds."""
    if not ended.wait(limit):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


LOOPED = 1000
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--quiet", "rules"]


def dry_run(folder: Path) -> tuple[Used, int]:
    """The paper preset's dry run from nothing, and how many jobs it has."""
    used = measure([*SNAKEMAKE, "-n", "-s", str(ROOT / "Snakefile"), "--config", "preset=paper"], folder)
    totals = [line.split() for line in used.output.splitlines() if line.startswith("total")]
    return used, int(totals[-1][1])


class Scheduler(NamedTuple):
    """How Snakemake chooses among the jobs that are ready."""

    name: str
    """ilp (Snakemake's default) or greedy."""
    subsample: int | None
    """How many of them, drawn at random, it looks at; None: all of them."""

    def options(self) -> list[str]:
        part = [] if self.subsample is None else ["--scheduler-subsample", str(self.subsample)]
        return ["--scheduler", self.name, *part]


def stubs(folder: Path, jobs: int, parallel: int, scheduler: Scheduler, limit: float) -> tuple[Used, int]:
    """The run of a workflow of `jobs` stubs, for at most `limit` seconds, and how many of them it ran."""
    pairs = jobs // 2
    (folder / "Snakefile").write_text(STUBS.format(pairs=pairs))
    ran = measure([*SNAKEMAKE, "--cores", str(parallel), *scheduler.options()], folder, limit)
    done = sum(
        len(list((folder / name).iterdir())) for name in ("features", "detect") if (folder / name).exists()
    )
    if ran.complete and (done != 2 * pairs or not (folder / "table").exists()):
        raise RuntimeError(f"{jobs} stub jobs: not all outputs are there")
    return ran, done


def loop(folder: Path) -> float:
    """CPU seconds of one stub's command, as Snakemake starts it, in a plain loop."""
    code = (
        "import subprocess\n"
        f"for i in range({LOOPED}):\n"
        "    subprocess.run(['bash', '-c', f'set -euo pipefail; touch loop{i % 100}'], check=True)\n"
    )
    return measure([sys.executable, "-c", code], folder).cpu / LOOPED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--parallel", type=int, default=2, help="stub jobs at once")
    parser.add_argument("--schedulers", nargs="+", default=["greedy", "ilp"], choices=["greedy", "ilp"])
    parser.add_argument(
        "--subsample", type=int, default=500, help="ready jobs it looks at, beside all of them"
    )
    parser.add_argument(
        "--minutes", type=float, default=20, help="a run that takes longer is ended, and told so"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of the paper preset's dry run")
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        command = loop(Path(folder))
    ways = [Scheduler(name, part) for name in arguments.schedulers for part in (None, arguments.subsample)]
    for jobs, way in itertools.product(arguments.jobs, ways):
        with tempfile.TemporaryDirectory() as folder:
            ran, done = stubs(Path(folder), jobs, arguments.parallel, way, 60 * arguments.minutes)
        asked = f"{jobs:,}" if ran.complete else f"{jobs:,}, ended after {done:,}"
        each = ran.cpu / done
        rows.append(
            f"| {asked} | {way.name} | {way.subsample or 'all'} | {ran.cpu:.0f} | {1000 * each:.1f} | "
            f"{1000 * (each - command):.1f} | {ran.peak:.0f} | {ran.wall:.0f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        dry = [dry_run(Path(folder)) for _ in range(arguments.repeats)]
    used = sorted(one.cpu for one, _ in dry)
    table = "\n".join(rows)
    markdown = f"""### Snakemake's own cost

`python benchmarks/scheduler.py --write`. CPU seconds (user and system, children included), since other load
on the machine lengthens the wall time. {machine()}, Snakemake {version("snakemake")}.

Dry run of preset paper from nothing, {dry[0][1]:,} jobs: {used[len(used) // 2]:.1f} s of CPU time (median
of {len(used)}; {used[0]:.1f} - {used[-1]:.1f}), {max(one.peak for one, _ in dry):.0f} MiB at its peak (least
wall time {min(one.wall for one, _ in dry):.0f} s). The bounds are 20 s and 2 GiB.

Stub jobs, {arguments.parallel} at once; their command takes {1000 * command:.1f} ms of CPU time in a plain
loop. What is left of a job's CPU time without it is Snakemake's overhead; it holds its start and the building
of the DAG. Half of the jobs are ready from the beginning. A run is ended after {arguments.minutes:g} minutes.

| jobs | scheduler | ready jobs it looks at | CPU s | CPU ms a job | overhead, ms | peak, MiB | wall s |
|---|---|---|---|---|---|---|---|
{table}
"""
    print(markdown)
    if arguments.write:
        write_section("scheduler", markdown)


if __name__ == "__main__":
    main()
