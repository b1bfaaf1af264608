"""What a run needs and does not have, all of it at once, before its first job. Imports no torch.

Each function returns a line for each thing that is missing: what, where, and the way out.
"""

import importlib.util
import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from spd.data.options import ArchiveOptions, DatasetOptions
from workflow_scripts.common.faiss_wheels import GPU, installed

PATIENCE = 15.0  # seconds for a server or for Slurm to answer
LISTED = 5  # objects named in one line


def given(files: Mapping[str, str]) -> list[str]:
    """Files that nothing makes or fetches and that are not there.

    files: file -> the key of the configuration that names it.
    """
    return [
        f"{key}: {file} is not there; put it there, or name another file"
        for file, key in files.items()
        if not Path(file).exists()
    ]


def archives(files: Iterable[ArchiveOptions]) -> list[str]:
    """Files to download: one that is there must have its size, one that is not must be on offer.

    A first byte is asked of each address; hashes are the download's affair.
    """
    absent, found = [], []
    for entry in files:
        path = Path(entry.file)
        if not path.exists():
            absent.append(entry)
        elif entry.bytes is not None and path.stat().st_size != entry.bytes:
            found.append(
                f"{path}: has {path.stat().st_size:,} bytes, expected {entry.bytes:,}; "
                "move it away to have it fetched, or put the whole file there"
            )
    with ThreadPoolExecutor(max(1, len(absent))) as pool:
        for entry, problem in zip(absent, pool.map(_unreachable, absent), strict=True):
            if problem:
                found.append(
                    f"{entry.file}: not there, and {entry.url} cannot be fetched from here ({problem}); "
                    f"fetch it by other means and put it there (SHA-256 {entry.sha256})"
                )
    return found


def fetched(files: Iterable[str]) -> list[str]:
    """Archives that were downloaded and checked, and that are not there any more."""
    return [
        f"{file}: gone since its hash was checked; put it back, or delete {file}.verified to fetch it again"
        for file in files
        if not Path(file).exists()
    ]


def _unreachable(entry: ArchiveOptions) -> str | None:
    try:
        with requests.get(entry.url, stream=True, headers={"Range": "bytes=0-0"}, timeout=PATIENCE) as answer:
            return None if answer.ok else f"status {answer.status_code}"
    except requests.RequestException as error:
        return type(error).__name__


def folders(datasets: Mapping[str, DatasetOptions], roots: Mapping[str, Path]) -> list[str]:
    """The user's own folders: there, and with what their reader looks for first.

    datasets: those to be read, by name; roots: their folders, variables expanded.
    """
    found = []
    for name, entry in datasets.items():
        root, key = roots[name], f"datasets.{name}.root"
        if not root.is_dir():
            kind = "is a file, not a folder" if root.exists() else "is not there"
            found.append(f"{key}: {root} {kind}; {_expected(entry)}")
        elif entry.reader == "class_folders":
            below = root / "train" if (root / "train").is_dir() else root
            if not any(next(folder.iterdir(), None) for folder in below.iterdir() if folder.is_dir()):
                found.append(f"{key}: {below} holds no class folder with images; {_expected(entry)}")
        elif entry.reader == "split_csv":
            absent = [csv for csv in entry.lists().values() if not (root / csv).is_file()]
            found += [f"{key}: {root / csv} is not there" for csv in absent]
        else:
            absent = [part for part in entry.objects or [] if not (root / part).is_dir()]
            more = f" and {len(absent) - LISTED} more" if len(absent) > LISTED else ""
            if absent:
                found.append(f"{key}: {root} has no folder {', '.join(absent[:LISTED])}{more}")
    return found


def _expected(entry: DatasetOptions) -> str:
    if entry.reader == "class_folders":
        licence = f" ({entry.licence})" if entry.licence else ""
        return f"put or link {entry.name}{licence} there, as train/<class>/<image>"
    return f"put or link {entry.name} there, or name another folder"


def networks(asked: Sequence[tuple[str, str, Sequence[str], bool]]) -> list[str]:
    """Architectures and stages of networks that only torchvision or timm knows.

    asked: as `spd.backbones.lookup` takes it. It is asked in a process of its own, some five seconds long.
    """
    if not asked:
        return []
    command = [sys.executable, "-m", "spd.backbones.lookup", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return [f"{', '.join(one[0] for one in asked)}: could not be looked up: {last}"]
    return json.loads(done.stdout.splitlines()[-1])


def read_only(folder: Path) -> Path | None:
    """The nearest folder at or above `folder` that is there, if nothing can be made in it; else None."""
    at = folder.absolute()
    while not at.exists():
        at = at.parent
    return None if at.is_dir() and os.access(at, os.W_OK | os.X_OK) else at


def room(needed: int, folder: Path) -> list[str]:
    """Bytes that will be written below `folder`, against what its file system has free.

    Quotas are not seen: `df` does not show them either.
    """
    at = folder
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free
    if needed <= free:
        return []
    return [
        f"disk: at least {needed / 2**30:,.0f} GiB will be written below {at.resolve()}, "
        f"{free / 2**30:,.0f} GiB are free; work on a larger file system, or ask for less "
        "(`snakemake --cores 1 plan` says what takes it)"
    ]


def gpu_build(*, faiss: bool) -> list[str]:
    """Installed packages for jobs on GPUs: torch built for CUDA; with `faiss`, faiss's wheel for GPUs too."""
    found = []
    if not cuda_of_torch():
        found.append(
            "torch: this environment's is built without CUDA, and jobs ask for GPUs; install a CUDA build "
            "(make .venv/.demo FAISS=gpu in a new environment), or set compute: {gpus: 0, device: cpu}"
        )
    if faiss and not set(GPU) & set(installed()):
        found.append(
            "faiss: detectors ask for GPUs and for faiss, whose GPU wheel is not installed; "
            "pip uninstall -y faiss-cpu, then pip install -e '.[gpu]', or set search: torch"
        )
    return found


def cuda_of_torch() -> str | None:
    """CUDA version that the installed torch is built for, without importing it; None for a CPU build."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return runpy.run_path(str(Path(spec.origin).parent / "version.py")).get("cuda")


WAITS = ("Required node not available", "nodes are busy", "Unable to contact slurm controller")
"""Answers of Slurm that time mends: a job may wait for a node, a submission for slurmctld."""


def slurm(submissions: Mapping[str, Sequence[str]], sbatch: str | None) -> list[str]:
    """Asks Slurm whether it would take each submission (`sbatch --test-only`); submits nothing.

    submissions: sbatch's options as one string -> the rules submitted with them. sbatch: the command's path,
    None where there is none.
    """
    if sbatch is None:
        return ["sbatch: not found; start the run on a login node of the cluster"]
    found: dict[str, list[str]] = {}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda options: _refusal(sbatch, options), submissions)
        for (options, rules), answer in zip(submissions.items(), answers, strict=True):
            if answer:
                found.setdefault(f"{', '.join(rules)}: {answer}", []).append(options)
    lines = [f"{problem} ({' '.join(options[0].split())})" for problem, options in found.items()]
    if lines:
        lines.append(f"the cluster has: {_offer(sbatch)}; edit the marked block of slurm/config.yaml")
    return lines


def _refusal(sbatch: str, options: str) -> str | None:
    command = [sbatch, "--test-only", *shlex.split(options), "--wrap=true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (subprocess.TimeoutExpired, OSError):
        return None  # the submission itself will tell
    if done.returncode == 0 or any(word in done.stderr for word in WAITS):
        return None
    lines = done.stderr.strip().splitlines() or [f"sbatch ended with status {done.returncode}"]
    said = [line.removeprefix("sbatch: error: ").removeprefix("allocation failure: ") for line in lines]
    return said[-1].removeprefix("Batch job submission failed: ")


def _offer(sbatch: str) -> str:
    command = [
        str(Path(sbatch).with_name("sinfo")),
        "--noheader",
        "--format=%R: %c CPUs, %m MB, %G, limit %l",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (subprocess.TimeoutExpired, OSError):
        return "`sinfo` did not answer"
    return "; ".join(sorted(set(done.stdout.splitlines()))) or "no partition that `sinfo` lists"


def message(problems: Sequence[str]) -> str:
    """All problems as one message."""
    count = f"{len(problems)} thing{'s' * (len(problems) != 1)} missing or wrong"
    lines = "\n".join(f"  {number}. {line}" for number, line in enumerate(problems, 1))
    way = "(SPD_PREFLIGHT=no in the environment starts all the same.)"
    return f"Nothing was started: {count}.\n{lines}\n{way}"
