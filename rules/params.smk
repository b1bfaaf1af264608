"""What the rules get besides paths: functions of their wildcards, and values that several share."""

import functools
from dataclasses import asdict

from spd.files import files_sha256
from spd.methods.options import METHODS
from spd.report.names import Names
from workflow_scripts.common import kept, linear_results, run_order
from workflow_scripts.common.training_resources import training_resources


def stage_code(rule_name, *classes):
    """Hash of the sources a stage runs: a changed module of spd/ marks its results stale, and so does one of
    the user's own where `classes` names it by its import path.

    Preset paper only warns (its tables name the versions they mix): a checkout must not redo GPU-weeks.
    """
    if experiment.compute.stale_code == "warn":
        return "any"
    return source_hash(HERE / "workflow_scripts" / f"{rule_name}.py", *classes)


def method_of(name):
    """What is known of the method of a pre-training that is trained here."""
    return METHODS[experiment.recipes[experiment.pretrainings[name].recipe].method]


def class_of(wc):
    """Import path of the class of a cell's detector: its module counts in the stage's hash."""
    return experiment.detector(wc.detector).path


def detector_name(wc):
    return experiment.profile(wc.detector, wc.profile).detector


def detector_options(wc):
    return experiment.profile(wc.detector, wc.profile).options.model_dump(mode="json")


def detector_geometry(wc):
    name = experiment.profile(wc.detector, wc.profile).geometry
    return {"name": name, **experiment.geometries[name].model_dump(mode="json")}


def names(datasets, pretrainings):
    """What is shown for these keys (spd.report.names): a param of what shows results, and of nothing else."""
    return asdict(Names.of(experiment, datasets, pretrainings))


# --- data sets


def archive_at(wc):
    """The archive that is unpacked to a folder."""
    return external.archives[external.unpacked_from(wc.folder)]


def inventory(wc):
    """What says that the files of a data set are there; empty for a folder of the user's."""
    if (folder := str(external.folders.get(wc.dataset))) in ABSENT:  # rules/preflight.smk
        return folder
    return external.inventory(wc.dataset) or []


def read_by(dataset, setups):
    """The options that setups of a data set are read by; what it is called is not among them."""
    keys = {"reader", "root", "csv", "defect_component", "objects", "mask_threshold", "max_pixels", "seed"}
    options = experiment.datasets[dataset].model_dump(mode="json", include=keys)
    csv = {setup: file for setup, file in options["csv"].items() if setup in setups}
    return {**options, "setups": setups, "csv": csv}


# --- backbones


@functools.cache
def hash_of(name, seed):
    """What makes a backbone that is trained here, as part of its path: another recipe never touches this one."""
    return backbone_hash.backbone_hash(experiment, name, seed, images=corpus_state, code=stage_code)


CORPUS_STATE = "SPD_CORPUS_STATE"  # a variable that jobs inherit


def corpus_state(dataset):
    """State of a folder, looked at by the run alone: its jobs would each walk a million files, and may find others."""
    if workflow.is_main_process or CORPUS_STATE not in os.environ:
        os.environ[CORPUS_STATE] = str(external.state(dataset))
    return os.environ[CORPUS_STATE]


def training_job(name, seed):
    return f"pretrain/{name}-seed{seed}-{hash_of(name, seed)}"


def trained(name, seed):
    """The record of a training, which says that it is complete; weights and history lie with it."""
    return results(TRAINING.format(pretraining=name, hash=hash_of(name, seed), seed=seed))


def initial_weights(wc):
    """What a continued pre-training waits for; a path that this config does not lead to stops here."""
    if workflow.is_main_process and wc.hash != hash_of(wc.pretraining, int(wc.seed)):
        raise WorkflowError(
            f"{RESULTS}/backbones/{wc.pretraining}/{wc.hash}: made by other settings than those of this config, "
            f"which lead to {trained(wc.pretraining, int(wc.seed))}"
        )
    starts = design.start_of(wc.pretraining, int(wc.seed))
    return [trained(*start) if design.trains(start.pretraining) else results(start.path) for start in starts]


def setting(key):
    """A part of what makes a training, as a function of its wildcards."""
    return lambda wc: backbone_hash.settings(experiment, wc.pretraining)[key]


def of_training(resource):
    """A resource of each training as a function of its wildcards; None leaves it out."""
    model = workflow.resource_settings.overwrite_resources.get("pretrain", {}).get("gpu_model")
    return lambda wc: training_resources(experiment.compute, wc.pretraining, model).get(resource)


if workflow.is_main_process:
    kept.remove_dangling_links(Path(RESULTS))  # Snakemake stumbles over links to what was deleted by hand


def set_aside_earlier_backbones():
    """Snakemake would delete a file that lies where a link is to be made."""
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "link_backbone":
            if line := kept.set_aside(Path(RESULTS), job.wildcards.pretraining, int(job.wildcards.seed)):
                print(f"Note: {line}.", file=sys.stderr, flush=True)


def linear_protocol_of(wc):
    """(method, options) of the linear protocol that judges a pre-training."""
    row = experiment.pretrainings[wc.pretraining]
    method = row.recipe and experiment.recipes[row.recipe].method
    return experiment.linear_protocol.of(method, row.source and row.source.source)


# --- cells and tables


def table_options(table):
    """A table's options, its data sets and its detector by the names that cells carry and tables show."""
    shown = [experiment.datasets[name].name for name in table.datasets]
    detector = table.detector and experiment.detector(table.detector).label
    return {**table.model_dump(mode="json"), "datasets": shown, "detector": detector}


def table_inputs(name):
    """What a table is made of; problems that the config lets through are named under it."""
    table = experiment.tables[name]
    manifests = [MANIFEST_RECORD.format(dataset=dataset, setup=table.setup) for dataset in table.datasets]
    cells = [cell.path for cell in design.cells(name)]
    return {"cells": [*map(results, cells)], "manifests": [*map(results, manifests)]}


def table_files(name, caption, category, title, objects=False):
    """The files of a table, or of its companion of objects; Snakemake's report shows the CSV and the page."""
    stem = results(f"tables/{name}_objects" if objects else f"tables/{name}")
    shown = {"caption": f"captions/{caption}.rst", "category": category, "subcategory": title}
    pages = {"csv": "every number", "html": "every object" if objects else "the table"}
    files = []
    for suffix in ("md", "tex", "html") if objects else ("csv", "md", "tex", "html"):
        file = f"{stem}.{suffix}"
        if suffix in pages:
            file = report(file, labels={"file": f"{pages[suffix]} ({suffix.upper()})"}, **shown)
        files.append(file)
    return files


def linear_of(rows):
    """Results of the linear protocol of these pre-trainings, those that are there."""
    try:
        return linear_results.results([one for one in design.evaluated if one.pretraining in rows], RESULTS)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


NOTICES = [notice for name in design.datasets if (notice := experiment.datasets[name].notice)]

# Files that are no code, by their content: were they inputs, a project that was moved would make its tables again.
STATED = files_sha256(  # published counts, where a data set of the overview must meet them
    (HERE / "spd/facts").glob("*_counts.csv")
    if any(experiment.datasets[name].facts for name in experiment.dataset_overview.datasets)
    else []
)
TAKEAWAYS = files_sha256([HERE / "spd/facts/takeaways.csv"])
TEMPLATES = files_sha256(path for path in (HERE / "spd/report/templates").iterdir() if path.is_file())


def store():
    """The local store, which is brought up to date rather than made again; none where a server is used."""
    return [] if "MLFLOW_TRACKING_URI" in os.environ else update(results("mlflow/mlflow.db"))
