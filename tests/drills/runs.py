"""Runs of the workflow that drills start, end and compare, on a clone of the checkout."""

import base64
import contextlib
import hashlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
# Logs, timings and the store of MLflow hold clock times.
UNCOMPARED = ("logs", "benchmarks", "mlflow")


def clone(folder: Path, origin: Path = REPOSITORY) -> str:
    """Clones the last commit of `origin` into `folder`, once; returns its short name.

    A drill lasts for hours; edits of the checkout must not change what it runs.
    """
    if not folder.exists():
        subprocess.run(["git", "clone", "-q", str(origin), str(folder)], check=True)
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def start(
    source: Path, folder: Path, preset: str, *arguments: str, cores: int = 2, log: Path
) -> subprocess.Popen:
    """Starts `snakemake` as `make demo` does, in a process group of its own; its output goes to `log`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(source / "Snakefile")]
    command += ["--directory", str(folder), "--cores", str(cores), "--rerun-incomplete", *arguments]
    command += ["--config", f"preset={preset}"]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, process_group=0
        )


def processor_seconds(process: subprocess.Popen) -> float:
    """Processor time of a run so far: its processes and the children of theirs that have ended."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(process.pid)
        for one in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def use(process: subprocess.Popen) -> dict[str, float]:
    """MB that are not shared and open files, now: of a run's Snakemake, and the most of one of its jobs."""
    found = dict.fromkeys(("snakemake_megabytes", "snakemake_files", "job_megabytes", "job_files"), 0.0)
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(process.pid)
        for one in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                who = "snakemake" if one == first else "job"
                for key, value in (
                    ("megabytes", one.memory_full_info().uss / 2**20),
                    ("files", one.num_fds()),
                ):
                    found[f"{who}_{key}"] = max(found[f"{who}_{key}"], value)
    return found


def kill(process: subprocess.Popen, folder: Path) -> None:
    """kill -9 of the whole group; returns when nothing runs in `folder` any more."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while running_in(folder):
        time.sleep(0.05)


def running_in(folder: Path) -> list[int]:
    """Processes whose working folder is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if Path(os.readlink(entry / "cwd")) == folder:  # noqa: PTH115
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def recorded_as_finished(folder: Path) -> set[str]:
    """Outputs that Snakemake's own metadata call finished."""
    return _subjects(folder / ".snakemake/metadata") - _subjects(folder / ".snakemake/incomplete")


def _subjects(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*") if folder.is_dir() else []:
        # Snakemake names each file by the base64 of the output it speaks of, cut at 255 characters.
        text = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        if path.is_file() and text != "migration_underway":
            found.add(base64.b64decode(text.encode(), altchars=b"-_").decode())
    return found


def started(log: Path) -> tuple[list[str], set[str]]:
    """(rules, outputs) of the jobs that a run's output says were started, in order."""
    rules: list[str] = []
    outputs: set[str] = set()
    for block in re.split(r"\n(?=\[)", log.read_text(encoding="utf-8", errors="replace")):
        rule = re.search(r"^(?:local)?rule (\S+):$", block, re.MULTILINE)
        made = re.search(r"^    output: (.+)$", block, re.MULTILINE)
        if rule:
            rules.append(rule[1])
            outputs.update(made[1].split(", ") if made else ())
    return rules, outputs


def publish(section: str, text: str, command: str, write: bool) -> None:
    """Prints what a drill measured; write: puts it into its section of docs/trust.md, with the command."""
    print(text)
    if write:
        sys.path.insert(0, str(REPOSITORY / "benchmarks"))
        from harness import machine, write_section

        shown = text if text.startswith("|") else f"```\n{text}\n```"
        write_section(section, f"`{command}` on {machine()}:\n\n{shown}", "trust.md")


def contents(results: Path) -> dict[str, str]:
    """Path below `results` -> SHA-256, of every file that holds no clock time."""
    return {
        path.relative_to(results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.name != ".snakemake_timestamp"
        and path.relative_to(results).parts[0] not in UNCOMPARED
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files: of jobs, of archives, and of Snakemake's and our own locks."""
    keep = (".snakemake_timestamp", ".unpacked.json", ".gitkeep")
    found = [
        path
        for root in ("results", "data")
        for path in (folder / root).rglob("*")
        if path.name.endswith((".tmp", ".checkpoint", ".part", ".unpacking"))
        or (path.name.startswith(".") and path.name not in keep and not path.name.endswith(".sha256.json"))
    ]
    for pattern in ("spd/*.job", "locks/*", "incomplete/*"):
        found += (folder / ".snakemake").glob(pattern)
    found = [path for path in found if path.name != "migration_underway"]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def mlflow_runs(results: Path) -> int:
    """Runs of the MLflow store that are not deleted."""
    with sqlite3.connect(f"file:{results / 'mlflow/mlflow.db'}?mode=ro", uri=True) as store:
        return store.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()[0]
