"""Results of a study's runs: one JSON line a run, written when it ends, so that a study can be stopped at any
time and goes on where it was.

Each process writes a file of its own in the folder of results: none waits for another, on whatever file
system, and the files of another machine are added by copying them there.
"""

import csv
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import torch

from spd.detectors.registry import DETECTORS
from spd.files import atomic_path
from spd.methods.options import METHODS
from workflow_scripts.common import provenance

STUDIES = Path(__file__).resolve().parent
MEASURING = ("measuring.py", "corpora.py", "judging.py", "localisation.py")
ABOUT = ("key", "settings", "scale", "corpus", "start", "method", "spd", "judge", "seed", "images")
ABOUT += ("device", "code", "commit", "seconds", "failed")
"""What a run is, beside its `values`; columns of the CSV. `settings`: the hash of all that it was told but
the images and the seed; `failed`: why it has no values, or not all."""


def device_name(device: str) -> str:
    """What a run was trained on, in words."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def code_state() -> dict[str, str | None]:
    """The state of the code that trains and measures: `code`, the hash of its sources, and the commit. It is
    no part of a run's key, so that a study goes on after a change; the report says when states mix."""
    classes = [entry.path for entry in (*METHODS.values(), *DETECTORS.values())]
    version = provenance.code_version(*(STUDIES / name for name in MEASURING), *classes)
    return {name: version[name] for name in ("code", "commit")}


def key_of(told: Any) -> str:
    """A hash of what a run was told."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def load(folder: Path) -> list[dict[str, Any]]:
    """The finished runs of every file in the folder, the first of each key; a line cut short by a kill is
    left out."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                run = json.loads(line)
            except json.JSONDecodeError:
                continue
            found.setdefault(run["key"], run)
    return list(found.values())


class Writer:
    """Adds runs to a new file of the folder, each on disk when `add` returns."""

    def __init__(self, folder: Path):
        self._path = folder / f"{uuid.uuid4().hex[:12]}.jsonl"

    def add(self, run: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(run) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Runs as `write_csv` wrote them; none where the file is missing."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            {
                **{name: row[name] or None for name in ABOUT},
                "seed": int(row["seed"]),
                "spd": json.loads(row["spd"]),
            }
            | {"values": {name: float(v) for name, v in row.items() if v and name not in ABOUT}}
            for row in csv.DictReader(file)
        ]


def write_csv(runs: list[dict[str, Any]], path: Path) -> None:
    """One row a run: `ABOUT`, then every value that any run has, to four digits."""
    names = list(dict.fromkeys(name for run in runs for name in run["values"]))
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*ABOUT, *names], lineterminator="\n")
        writer.writeheader()
        for run in runs:
            about = {name: "" if run[name] is None else run[name] for name in ABOUT}
            numbers = {name: f"{value:.4g}" for name, value in run["values"].items()}
            writer.writerow({**about, "spd": json.dumps(run["spd"], sort_keys=True), **numbers})
