"""Writes what preset paper would take into docs/cluster.md: the target `plan`, for trainings on 1 and 8 GPUs.

    python benchmarks/plan.py [--write]

Both runs of `snakemake --cores 1 plan` happen in an empty folder, so everything is still to run. They need no
GPU.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import write_section

ROOT = Path(__file__).resolve().parent.parent


def plan(gpus: int) -> list[str]:
    """The plan's blocks of Markdown: stages, machines, the longest chain, assumptions."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.yaml").write_text(f"compute: {{gpus: {gpus}}}\n")
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1", "plan"]
        command += ["--configfile", "mine.yaml", "--config", "preset=paper"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return (Path(folder) / "results/paper/logs/plan.log").read_text().strip().split("\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace this section of docs/cluster.md")
    arguments = parser.parse_args()
    stages, one, chain_of_one, notes = plan(1)
    _, eight, chain_of_eight, _ = plan(8)
    markdown = f"""From nothing; `python benchmarks/plan.py --write` puts the command's answer here.

{stages}

A training on one GPU (`compute: {{gpus: 1}}`, the default), on clusters of G GPUs:

{one}

{chain_of_one}

A training on eight GPUs (`compute: {{gpus: 8}}`):

{eight}

{chain_of_eight}

{notes}
"""
    print(markdown)
    if arguments.write:
        write_section("plan", markdown, document="cluster.md")


if __name__ == "__main__":
    main()
