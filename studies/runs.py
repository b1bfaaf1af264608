"""Results of a study's runs: one JSON line a run, added when the run ends, so that a study can be stopped at
any time and goes on where it was."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


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
    """Adds a run: the file is the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in [*load(path), run])
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
