"""What a valid configuration asks for and cannot get: told before any job. Imports no torch.

Each line says the key, what is wrong with it and the way out.
"""

import json
from collections.abc import Iterable, Iterator

from spd.backbones.options import known_stages
from spd.config.model import Config
from spd.data.options import located
from spd.tensors import open_tensors
from spd.training import batches


def unfit(experiment: Config, trained: Iterable[str]) -> list[str]:
    """A line for each thing in the configuration that would end in an error later.

    trained: the pre-trainings that are to be trained here, those that others start from included.
    """
    return [*_batches(experiment, trained), *_twins(experiment), *_stages(experiment)]


def network(experiment: Config, row: str) -> tuple[str | None, str, tuple[str, ...]]:
    """(architecture, None where only a file says it; the key of its stages; the stages read) of a row."""
    pretraining = experiment.pretrainings[row]
    source, stages = pretraining.source, experiment.stages(row)
    if source is None:
        return experiment.architecture(row), f"backbones.{pretraining.backbone}.stages", stages
    from_file = source.source == "file"
    architecture = _said_by(located(source.checkpoint)) if from_file else experiment.architecture(row)
    return architecture, f"pretrainings.{row}.source.stages", stages


def _said_by(file: str) -> str | None:
    """The architecture in the header of a backbone file; None where there is no such file yet."""
    try:
        return json.loads(open_tensors(file)[1]["architecture"])
    except (OSError, ValueError, KeyError):
        return None


def _batches(experiment: Config, trained: Iterable[str]) -> Iterator[str]:
    found: dict[str, list[str]] = {}  # line -> pre-trainings
    for name in trained:
        recipe = experiment.recipes[experiment.pretrainings[name].recipe]
        gpus, nodes = experiment.compute.of(name)
        group = recipe.batch_norm_group if recipe.batch_norm == "ghost" else None
        for line in batches.misfits(recipe.batch, ranks=nodes * max(1, gpus), group=group):
            found.setdefault(f"recipes.{experiment.pretrainings[name].recipe}.{line}", []).append(name)
    for line, names in found.items():
        yield f"{line} (pre-trainings {', '.join(names)}; ranks are gpus x nodes of `compute`)"


def _twins(experiment: Config) -> Iterator[str]:
    for table, options in experiment.tables.items():
        taken: dict[tuple, str] = {}
        for name in options.rows:
            row, (architecture, _, _) = experiment.pretrainings[name], network(experiment, name)
            other = taken.setdefault((row.label, row.spd, architecture or name), name)
            if other != name:
                yield (
                    f"tables.{table}.rows: {other} and {name} look the same "
                    f"({row.label}, {row.spd}, {architecture}); give one of them another `label`"
                )


def _stages(experiment: Config) -> Iterator[str]:
    lines = {}
    for name in dict.fromkeys(name for table in experiment.tables.values() for name in table.rows):
        architecture, key, stages = network(experiment, name)
        known = known_stages(architecture or "")
        if known and (unknown := [stage for stage in stages if stage not in known]):
            lines[key] = f"no stage {', '.join(unknown)}; {architecture} has {', '.join(known)}"
    yield from (f"{key}: {line}" for key, line in lines.items())
