"""Writes what preset paper would take into docs/cluster.md and docs/cost.md: the target `plan`, from nothing.

Two minutes of one core, also with --quick; it needs no GPU.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from harness import ROOT, benchmark, write_section

from spd.config.model import load
from workflow_scripts.planning.graph import graph
from workflow_scripts.planning.report import report


def plan(**config: Any) -> dict[str, str]:
    """Heading -> what the plan of preset paper says below it."""
    config = {"preset": "paper", **config}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        nodes = graph(ROOT / "Snakefile", config)
        text = report(load(ROOT / "config.yaml", config), nodes, Path("manifests"))
    return {part.split("\n", 1)[0]: part.strip() for part in text.split("### ")[1:]}


def measure(options) -> str:
    named = load(ROOT / "config.yaml", {"preset": "paper"}).compute.trainings
    own, eight = plan(), plan(compute={"gpus": 8, "trainings": {name: {"gpus": 8} for name in named}})
    trainings = own.pop("Trainings").removeprefix("Trainings").strip()
    if options.write:
        write_section("trainings", trainings, "cost.md")
    time = eight["Time"].split("\n\n")[1]
    parts = [f"### {text}" for text in own.values()]
    parts.append(f"The time where each training takes eight GPUs, `simclr_spd` sixteen:\n\n{time}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    benchmark(measure, "plan", page="cluster.md")
