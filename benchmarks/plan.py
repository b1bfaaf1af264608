"""Writes what preset paper would take into docs/cluster.md and docs/cost.md: the target `plan`, from nothing.

    python benchmarks/plan.py [--write]

Two minutes of one core; it needs no GPU.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import Any

from report import ROOT, write_section

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the sections of the two pages")
    arguments = parser.parse_args()
    trainings = load(ROOT / "config.yaml", {"preset": "paper"}).compute.trainings
    own, eight = plan(), plan(compute={"gpus": 8, "trainings": {name: {"gpus": 8} for name in trainings}})
    trainings = own.pop("Trainings").removeprefix("Trainings").strip()
    sections = [f"### {text}" for text in own.values()]
    time = eight["Time"].split("\n\n")[1]
    sections.append(f"The time where each training takes eight GPUs, `simclr_spd` sixteen:\n\n{time}")
    print("\n\n".join([*sections, trainings]))
    if arguments.write:
        write_section("plan", "\n\n".join(sections), document="cluster.md")
        write_section("trainings", trainings, document="cost.md")


if __name__ == "__main__":
    main()
