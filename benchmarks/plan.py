"""Writes what preset paper would take into docs/cluster.md: the target `plan`, for each training on the GPUs
that the preset gives it, on one, and on 8 or more.

    python benchmarks/plan.py [--write]

All runs of `snakemake --cores 1 plan` happen in an empty folder, so everything is still to run. They need no
GPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import write_section

from spd.config.model import load

ROOT = Path(__file__).resolve().parent.parent


def plan(compute: dict[str, Any], **settings: Any) -> list[str]:
    """The plan's blocks of Markdown: stages, machines, the longest chain, memory, assumptions."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.yaml").write_text(json.dumps({"compute": compute, "plan": settings}))
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1", "plan"]
        command += ["--configfile", "mine.yaml", "--config", "preset=paper"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return (Path(folder) / "results/paper/logs/plan.log").read_text().strip().split("\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace this section of docs/cluster.md")
    arguments = parser.parse_args()
    trainings = load(ROOT / "config.yaml", {"preset": "paper"}).compute.trainings
    stages, own, chain_of_own, memory, notes = plan({})
    _, one, chain_of_one, *_ = plan({"gpus": 1, "trainings": None}, gpus=[1, 8, 64])
    _, eight, chain_of_eight, *_ = plan({"gpus": 8, "trainings": {name: {"gpus": 8} for name in trainings}})
    markdown = f"""From nothing; `python benchmarks/plan.py --write` puts the command's answer here.

{stages}

Each training on the GPUs that preset paper gives it (`compute.trainings`, below), on clusters of G GPUs:

{own}

{chain_of_own}

{memory}

Each training on one GPU, whether it fits its memory or not:

{one}

{chain_of_one}

Each training on eight GPUs of a node (`gpus: 8` for all, `simclr_spd` on its two nodes):

{eight}

{chain_of_eight}

{notes}
"""
    print(markdown)
    if arguments.write:
        write_section("plan", markdown, document="cluster.md")


if __name__ == "__main__":
    main()
