"""Writes what preset paper would take into docs/cluster.md and docs/cost.md: the target `plan`, from nothing.

Two minutes of one core; it needs no GPU. --quick: preset demo's plan.
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
    """Heading -> what the plan says below it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        nodes = graph(ROOT / "Snakefile", config)
        text = report(load(ROOT / "config.yaml", config), nodes, Path("manifests"))
    return {part.split("\n", 1)[0]: part.strip() for part in text.split("### ")[1:]}


def measure(options) -> str:
    named = load(ROOT / "config.yaml", {"preset": options.preset}).compute.trainings
    many = {"gpus": options.gpus, "trainings": {name: {"gpus": options.gpus} for name in named}}
    own, eight = plan(preset=options.preset), plan(preset=options.preset, compute=many)
    trainings = own.pop("Trainings").removeprefix("Trainings").strip()
    time = eight["Time"].split("\n\n")[1]
    if options.write:
        write_section("trainings", trainings, "cost.md")
    return "\n\n".join(
        [
            *(f"### {text}" for text in own.values()),
            f"The time where each training takes eight GPUs, `simclr_spd` sixteen:\n\n{time}",
        ]
    )


if __name__ == "__main__":
    benchmark(measure, "plan", options={"preset": ("paper", "demo"), "gpus": (8, 2)}, page="cluster.md")
