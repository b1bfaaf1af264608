"""Results of a study's runs: one JSON line a run, added when the run ends, so that a study can be stopped at
any time and goes on where it was."""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from spd import provenance

STUDIES = Path(__file__).resolve().parent
MEASURING = ("localisation.py", "pictures.py")  # what every study's numbers go through, beside its own file


def options(description: str, seeds: int, results: Path) -> argparse.ArgumentParser:
    """The command line that the studies share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--limit", type=int, default=None, help="stop after so many runs")
    parser.add_argument("--device", default="cpu", help="to train on: cpu (default) or cuda")
    parser.add_argument(
        "--part", default="1/1", metavar="I/N", help="every Nth run from the Ith, for N commands at once"
    )
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--report", action="store_true", help="write docs/mechanism.md, run nothing")
    return parser


def waiting(configurations: list[dict[str, Any]], chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The runs that a command has to do: its part, what is finished left out. Raises SystemExit for a part
    that is none."""
    try:
        part, parts = map(int, chosen.part.split("/"))
        if not 1 <= part <= parts:
            raise ValueError
    except ValueError:
        raise SystemExit(f"--part {chosen.part}: give I/N with I from 1 to N, for example 2/4") from None
    done = {line["key"] for line in load(chosen.results)}
    own = configurations[part - 1 :: parts]
    left = [configuration for configuration in own if configuration["key"] not in done]
    print(f"{len(left[: chosen.limit])} runs to do, {len(own) - len(left)} done", flush=True)
    return left[: chosen.limit]


def device_name(device: str) -> str:
    """What a run was trained on, in words."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def code_of(study: str) -> dict[str, str | None]:
    """The state of the code that trains and measures a run of `study` (its `__file__`): `code`, the hash of
    its sources, and the commit. It is no part of a run's key, so that a study goes on after a change; the
    report says when its runs are of several states."""
    version = provenance.code_version(Path(study), *(STUDIES / name for name in MEASURING))
    return {name: version[name] for name in ("code", "commit")}


def key_of(configuration: dict[str, Any]) -> str:
    """What makes a run this run: a hash of everything that it was told."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:16]


def load(path: Path) -> list[dict[str, Any]]:
    """The finished runs; a line cut short by a kill is left out."""
    runs = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            runs.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return runs


def add(path: Path, run: dict[str, Any]) -> None:
    """Adds a run: the file is the old one or the new one, never a part. Commands that run parts of a study
    at once write one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with _alone_in(path.parent), temporary.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in [*load(path), run])
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
