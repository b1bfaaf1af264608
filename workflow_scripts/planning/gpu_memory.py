"""What each pre-training of a config takes of its GPUs' memory, as `spd.training.memory` counts it.

    python -m workflow_scripts.planning.gpu_memory [config.yaml] [--preset paper] [--gib 79]

Prints a table.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spd.config.model import Config, load
from spd.training.memory import Memory, least_ranks, memory_of

CARD = 79.0
"""GiB that a GPU of 80 GB offers."""


@dataclass(frozen=True)
class Training:
    """A pre-training of a config and what it takes of its GPUs."""

    name: str
    memory: Memory
    batch: int
    ranks: int
    """That `compute` gives it; 1 where it trains on a CPU."""
    least: int | None
    """See `least_ranks`."""

    @property
    def gib(self) -> float:
        """Of each of its GPUs."""
        return self.memory.gib(self.batch // self.ranks)


def trainings(experiment: Config, names: Iterable[str], gib: float) -> list[Training]:
    """Counts pre-trainings of a config for GPUs of `gib` each."""
    found = []
    for name in names:
        row = experiment.pretrainings[name]
        recipe, spd = experiment.recipes[row.recipe], experiment.spd[row.spd]
        memory = memory_of(
            experiment.backbones[row.backbone].architecture, recipe, spd if spd.eta > 0 else None
        )
        gpus, nodes = experiment.compute.of(name)
        ranks = nodes * max(1, gpus)
        found.append(Training(name, memory, recipe.batch, ranks, least_ranks(memory, recipe, gib)))
    return found


def table(config_path: Path, preset: str, gib: float) -> str:
    """Markdown: each pre-training of the config."""
    experiment = load(config_path, {"preset": preset})
    names = [name for name, row in experiment.pretrainings.items() if row.recipe is not None]
    lines = [
        "| pre-training | MiB an image | batch | GiB of a batch on one GPU "
        f"| GPUs of {gib:g} GiB that would do | GPUs that it takes | GiB of each |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in trainings(experiment, names, gib):
        lines.append(
            f"| {one.name} | {one.memory.image / 2**20:.0f} | {one.batch:,} "
            f"| {one.memory.gib(one.batch):.0f} | {one.least or 'none'} | {one.ranks} | {one.gib:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="GPU memory of every pre-training of a config")
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"))
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--gib", type=float, default=CARD, help="memory of one GPU")
    arguments = parser.parse_args()
    print(table(arguments.config, arguments.preset, arguments.gib))


if __name__ == "__main__":
    main()
