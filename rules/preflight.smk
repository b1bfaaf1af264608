"""What can be known before the first job is said before it, all of it at once."""

import json

from spd.backbones.options import known_stages
from spd.config.fit import network, unfit
from spd.files import read_json
from spd.training import batches
from workflow_scripts.common import preflight

CHECKED = os.environ.get("SPD_PREFLIGHT") != "no"

GIVEN = {  # file that only you can put there -> the key that names it
    **{
        file: f"datasets.{name}.archive.file"
        for name, file in external.archives.items()
        if file not in external.downloads and not experiment.datasets[name].archive.generated
    },
    **{
        file: f"pretrainings.{name}.source.checkpoint"
        for name, file in external.checkpoints.items()
        if file not in external.downloads
    },
}
YOURS = [*GIVEN, *map(str, external.folders.values())]
ABSENT = [file for file in YOURS if CHECKED and not Path(file).exists()]


def folders_missing(names):
    """Your own folders among these data sets that are not there or not as their reader wants them."""
    mine = {
        name: folder for name, folder in external.folders.items() if name in names and "$" not in str(folder)
    }
    return preflight.folders({name: experiment.datasets[name] for name in mine}, mine)


def batches_of(names):
    """(batch, held_out) of these trainings, which their corpus must be large enough for."""
    recipes = {name: experiment.recipes[experiment.pretrainings[name].recipe] for name in names}
    return {name: (recipe.batch, recipe.held_out) for name, recipe in recipes.items()}


def check_config():
    """Stops where the configuration alone says that jobs would fail, and says then what else is missing."""
    problems = [*external.unset, *(unfit(experiment, design.trained) if CHECKED else [])]
    if not problems:
        return
    archives = [external.archives[name] for name in design.datasets if name in external.archives]
    weights = [external.checkpoints[name] for name in design.pretrainings if name in external.checkpoints]
    files = [file for file in (*archives, *weights) if file in GIVEN and "$" not in file]
    problems += preflight.given({file: GIVEN[file] for file in files})
    problems += [*folders_missing(design.datasets), *larger_than_the_corpus(design.trained)]
    problems += preflight.networks(foreign([name for name, _ in design.backbones]))
    raise WorkflowError(preflight.message(problems))


def larger_than_the_corpus(trained):
    """Batches of these trainings that the corpus has not images enough for, once its manifest is there."""
    made = Path(results(SIDECAR.format(dataset=experiment.corpus.dataset, setup="1cls")))
    return list(batches.too_large(batches_of(trained), read_json(made)["counts"])) if made.exists() else []


def check_before_start():
    """Stops before the first job with everything that this run's jobs need and do not have."""
    if not CHECKED:
        return
    jobs = list(workflow.dag.needrun_jobs())
    needed = {}
    for job in jobs:
        needed.setdefault(job.rule.name, []).append(job.wildcards)
    to_fetch = [at.archive for at in needed.get("download", [])]
    to_unpack = [archive_at(at) for at in needed.get("unpack", [])]
    problems = [
        *preflight.given({at.file: GIVEN[at.file] for at in needed.get("absent", []) if at.file in GIVEN}),
        *preflight.archives(external.downloads[file] for file in to_fetch),
        *preflight.fetched(file for file in to_unpack if file in external.downloads and file not in to_fetch),
        *folders_missing(list(dict.fromkeys(at.dataset for at in needed.get("examine", [])))),
    ]
    if experiment.corpus.dataset not in [at.dataset for at in needed.get("manifest", [])]:
        problems += larger_than_the_corpus(dict.fromkeys(at.pretraining for at in needed.get("pretrain", [])))
    networks = ("pretrain", "import_backbone", "features", "finetune_fewshot", "finetune_highshot")
    problems += preflight.networks(
        foreign(at.pretraining for rule in networks for at in needed.get(rule, []))
    )
    problems += preflight.room(bytes_to_write(jobs), Path(RESULTS))
    if workflow.non_local_exec:
        problems += cluster.missing(workflow, experiment, jobs, SBATCH)
    if problems:
        raise WorkflowError(preflight.message(problems))


def foreign(names):
    """Networks of these pre-trainings that only torchvision or timm knows (spd.backbones.lookup.Asked)."""
    asked = {}
    for name in dict.fromkeys(names):
        architecture, key, stages = network(experiment, name)
        if architecture is not None and known_stages(architecture) is None:
            asked[key] = (key, architecture, stages, design.trains(name))
    return list(asked.values())


def bytes_to_write(jobs):
    """Of archives, corpus, image caches and maps: what stays, and can be counted before anything is there."""
    from workflow_scripts.planning.files import Files

    files = Files(experiment, Path(RESULTS) / "manifests")
    return sum(files.bytes_of(job.rule.name, job.wildcards_dict) for job in jobs)


check_config()
