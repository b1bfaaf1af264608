"""Where everything lies, and what each stage needs; the rules below only fill in names."""

import functools
import hashlib
import math
import os
from dataclasses import asdict
from types import SimpleNamespace
from urllib.parse import quote

from workflow_scripts.common import backbone_hash
from spd.data.fingerprint import folder_fingerprint
from spd.data.options import expand as expand_path, located
from spd.files import file_sha256, read_json
from workflow_scripts.common.kept import set_aside
from spd.methods.options import METHODS
from spd.report.names import Names
from spd.files import files_sha256
from spd.detectors.finetuned.runs import Run, runs


def stage_code(rule_name, *classes):
    """Hash of the sources a stage runs: a changed module of spd/ marks its results stale, and so does one of
    the user's own where `classes` names it by its import path.

    Preset paper only warns (its tables name the versions they mix): a checkout must not redo GPU-weeks.
    """
    if experiment.compute.stale_code == "warn":
        return "any"
    return source_hash(HERE / "workflow_scripts" / f"{rule_name}.py", *classes)


# --- what is asked for -------------------------------------------------------------------------------

TRAINED = [name for name, row in experiment.pretrainings.items() if row.recipe is not None]
ELSEWHERE = [name for name, row in experiment.pretrainings.items() if row.source is not None]


def used_pretrainings():
    """Every pre-training that a table reads, in config's order."""
    used = {row for table in experiment.tables.values() for row in table.rows}
    return [name for name in experiment.pretrainings if name in used]


def start_of(name, seed):
    """(pre-training, seed) that a continued pre-training starts from, as a list; empty for one from scratch."""
    return backbone_hash.start_of(experiment, name, seed)


def used_backbones():
    """(pre-training, seed) of each backbone that the tables need, and of those they start from."""
    found = [(name, seed) for name in used_pretrainings() for seed in experiment.pretrainings[name].seeds]
    for name, seed in found:  # grows as it goes
        found += [start for start in start_of(name, seed) if start not in found]
    return found


def used_trainings():
    """Every pre-training that is trained here, once, whatever the number of its seeds."""
    return list(dict.fromkeys(name for name, _ in used_backbones() if name in TRAINED))


def trains():
    """Whether anything is pre-trained here, and so the corpus is read."""
    return bool(used_trainings())


def used_datasets():
    """Every data set that a table, the overview or a pre-training reads, in config's order."""
    used = {*experiment.dataset_overview.datasets, *([experiment.corpus.dataset] if trains() else [])}
    for table in experiment.tables.values():
        used.update(table.datasets)
    return [name for name in experiment.datasets if name in used]


# --- data sets ---------------------------------------------------------------------------------------


UNSET = []  # a line for each variable of a path in use that the environment does not have


def expanded(key, path, needed):
    """A path of the config with ~ and its variables expanded; one that is needed but not set is noted."""
    try:
        return expand_path(path, key)
    except ValueError as error:
        if needed:
            UNSET.append(str(error))
        return Path(path)


ARCHIVES = {  # data set -> archive, for those that come as one
    name: str(expanded(f"datasets.{name}.archive.file", dataset.archive.file, name in used_datasets()))
    for name, dataset in experiment.datasets.items()
    if dataset.archive is not None
}
ROOTS = {  # data set -> folder, for those that are the user's
    name: expanded(f"datasets.{name}.root", dataset.root, name in used_datasets())
    for name, dataset in experiment.datasets.items()
    if dataset.root is not None
}
for name in ROOTS:  # their CSVs, for variables that are not set
    for setup, csv in experiment.datasets[name].csv.items():
        expanded(f"datasets.{name}.csv.{setup}", csv, name in used_datasets())
CHECKPOINTS = {  # pre-training -> file of its weights, for those that are read from one
    name: str(
        expanded(
            f"pretrainings.{name}.source.checkpoint",
            experiment.pretrainings[name].source.checkpoint,
            name in dict(used_backbones()),
        )
    )
    for name in ELSEWHERE
    if experiment.pretrainings[name].source.checkpoint is not None
}
DOWNLOADS = {  # file -> its entry, for everything that has an address
    file: entry.model_copy(update={"file": file})
    for file, entry in [
        *((file, experiment.datasets[name].archive) for name, file in ARCHIVES.items()),
        *((located(entry.file), entry) for entry in experiment.weights.values()),
    ]
    if entry.url is not None
}


def unpacked_to(name, archive):
    """Folder that an archive is unpacked to: beside it, or where the config says."""
    key, folder = f"datasets.{name}.archive.unpack_to", experiment.datasets[name].archive.unpack_to
    used = name in used_datasets()
    above = Path(archive).parent / "unpacked" if folder is None else expanded(key, folder, used)
    there = (above / f"{name}.json").exists()
    if not there and used and "$" not in str(above) and (at := preflight.read_only(above)):
        raise WorkflowError(
            f"config: datasets.{name}: {archive} would be unpacked to {above}, and {at} cannot be written to; "
            f"name another folder under {key}"
        )
    return str(above / name)


UNPACKED = {name: unpacked_to(name, archive) for name, archive in ARCHIVES.items()}


def inventory(dataset):
    """The file that says an archive is unpacked, as a list; empty where there is none to unpack."""
    if str(ROOTS.get(dataset)) in ABSENT:  # rules/preflight.smk
        return [str(ROOTS[dataset])]
    return [f"{UNPACKED[dataset]}.json"] if dataset in UNPACKED else []


def fetched(file):
    """What a reader of an archive or a checkpoint waits for: its stamp if it has an address, else itself."""
    return f"{file}.verified" if file in DOWNLOADS else file


@functools.cache
def folder_state(dataset):
    """Hash of paths, sizes and times of a user's folder: one replaced image rebuilds its data set's chain."""
    if dataset not in ROOTS:
        return None
    root = ROOTS[dataset]
    if UNSET or not root.is_dir():  # either is said before any job
        return "absent"
    return folder_fingerprint(root, experiment.datasets[dataset].split_files())


def read_by(dataset, setups):
    """The options that setups of a data set are read by; what it is called is not among them."""
    keys = {"reader", "root", "csv", "defect_component", "objects", "mask_threshold", "max_pixels", "seed"}
    options = experiment.datasets[dataset].model_dump(mode="json", include=keys)
    return {
        **options,
        "setups": setups,
        "csv": {at: csv for at, csv in options["csv"].items() if at in setups},
    }


def names(datasets, pretrainings):
    """What is shown for these keys (spd.report.names): a param of what shows results, and of nothing else."""
    return asdict(Names.of(experiment, datasets, pretrainings))


def generated(datasets):
    """What those of these data sets are called whose images this project draws itself."""
    entries = [experiment.datasets[name] for name in datasets]
    return [entry.name for entry in entries if entry.archive is not None and entry.archive.generated]


def dataset_at(folder):
    return next(name for name, target in UNPACKED.items() if target == folder)


def manifest(dataset, setup):
    return f"{RESULTS}/manifests/{dataset}/{setup}.csv"


def manifest_records(table):
    """What was said of a table's data: problems that the config lets through stand under it."""
    return [f"{RESULTS}/records/manifests/{name}-{table.setup}.json" for name in table.datasets]


def parts(dataset):
    """What one detector job handles: `all` objects, or one object a job, by its quoted name."""
    objects = experiment.datasets[dataset].objects
    if experiment.compute.objects_per_job == "all" or objects is None:
        return ["all"]
    return [quote(name, safe="") for name in objects]


# --- backbones ---------------------------------------------------------------------------------------


def published_sha256(checkpoint):
    """The hash that a published checkpoint must have, None for a file of the user's own."""
    entries = experiment.weights.values()
    return next((entry.sha256 for entry in entries if located(entry.file) == checkpoint), None)


CORPUS_STATE = "SPD_CORPUS_STATE"  # a variable that jobs inherit


def corpus_state(dataset):
    """`folder_state`, walked by the run alone: its jobs would each look at a million files, and perhaps find others."""
    if workflow.is_main_process or CORPUS_STATE not in os.environ:
        os.environ[CORPUS_STATE] = str(folder_state(dataset))
    return os.environ[CORPUS_STATE]


@functools.cache
def hash_of(name, seed):
    """What makes a backbone that is trained here, as part of its path: another recipe never touches this one."""
    return backbone_hash.backbone_hash(experiment, name, seed, images=corpus_state, code=stage_code)


def trained(name, seed):
    """The record of such a backbone, which says that it is complete; weights and history lie beside it."""
    return f"{RESULTS}/backbones/{name}/{hash_of(name, seed)}/seed{seed}.json"


if workflow.is_main_process:  # Snakemake stumbles over links to what was deleted by hand
    for link in [*Path(RESULTS).glob("backbones/*/seed*"), *Path(RESULTS).glob("records/backbones/*")]:
        if link.is_symlink() and not link.exists():
            link.unlink()


def set_aside_earlier_backbones():
    """Snakemake would delete a file that lies where a link is to be made."""
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "link_backbone":
            if line := set_aside(Path(RESULTS), job.wildcards.pretraining, int(job.wildcards.seed)):
                print(f"Note: {line}.", file=sys.stderr, flush=True)


def initial_weights(name, seed):
    """What a continued pre-training waits for, as a list: the record of a training, or weights from elsewhere."""
    return [
        trained(start, at) if start in TRAINED else f"{RESULTS}/backbones/{start}/seed{at}.safetensors"
        for start, at in start_of(name, seed)
    ]


def initial_weights_of(wc):
    """`initial_weights` of a training; a path that this config does not lead to stops here."""
    if workflow.is_main_process and wc.hash != hash_of(wc.pretraining, int(wc.seed)):
        raise WorkflowError(
            f"{RESULTS}/backbones/{wc.pretraining}/{wc.hash}: made by other settings than those of this config, "
            f"which lead to {trained(wc.pretraining, int(wc.seed))}"
        )
    return initial_weights(wc.pretraining, int(wc.seed))


def settings_of(key):
    """A part of what makes a training, as a function of its wildcards."""
    return lambda wc: backbone_hash.settings(experiment, wc.pretraining)[key]


def training_resources(name):
    """What one training asks of Snakemake and of Slurm; several nodes are one `srun` of the job itself."""
    gpus, nodes = experiment.compute.of(name)
    # Warn a training before its time limit, so that it saves and goes on later (workflow_scripts/common/launch.py).
    extra = [f"--signal=TERM@{experiment.compute.grace_seconds}"]
    resources = {"nodes": nodes, "gpu": nodes * gpus}
    if nodes > 1:
        resources |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
        extra.append("--ntasks-per-node=1")
        # Slurm wants the model in both of its options or in none.
        model = workflow.resource_settings.overwrite_resources.get("pretrain", {}).get("gpu_model")
        model = f"{getattr(model, 'raw', model)}:" if model else ""
        extra += [f"--gpus-per-node={model}{gpus}"] if gpus else []
    return {**resources, "slurm_extra": " ".join(extra)}


def of_training(resource):
    """A resource of each training as a function of its wildcards; None leaves it out."""
    return lambda wc: training_resources(wc.pretraining).get(resource)


def linear_protocol_of(name):
    """(method, options) of the linear protocol that judges a pre-training."""
    row = experiment.pretrainings[name]
    method = row.recipe and experiment.recipes[row.recipe].method
    return experiment.linear_protocol.of(method, row.source and row.source.source)


def linear_results(rows):
    """Results of the linear protocol that are there, of these pre-trainings: a param of what shows them.

    No input: a table must not wait for GPU-hours, nor send a job that judges a backbone anew.
    """
    paths = [
        Path(f"{RESULTS}/linear/{name}-seed{seed}.json")
        for name in experiment.pretrainings
        if name in rows
        for seed in experiment.pretrainings[name].seeds
    ]
    try:
        return [read_json(path) for path in paths if path.exists()]
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def stages(name):
    """Stages that detectors read from a pre-training's backbone, shallow to deep."""
    row = experiment.pretrainings[name]
    return list(row.source.stages if row.source else experiment.backbones[row.backbone].stages)


# --- 2-class: what one job trains for one backbone and part of a data set ----------------------------

TWO_CLASS_RUNS = {  # setup -> names of the runs of each object
    "2cls_fewshot": [str(run) for run in runs(experiment.fewshot.shots, experiment.fewshot.draws)],
    "2cls_highshot": [str(Run())],
}


def two_class_cells(setup):
    """The cells that one job writes, with Snakemake's wildcards."""
    at = f"{RESULTS}/cells/{{dataset}}/{setup}/{{detector}}-{{profile}}/{{part}}/{{pretraining}}-seed{{seed}}"
    return [f"{at}/{run}.json" for run in TWO_CLASS_RUNS[setup]]


def method_of(name):
    """What is known of the method of a pre-training that is trained here."""
    return METHODS[experiment.recipes[experiment.pretrainings[name].recipe].method]


def views_of(name):
    """What decides the views of a pre-training: not its learning rate, not the weight of SPD."""
    row = experiment.pretrainings[name]
    recipe, spd = experiment.recipes[row.recipe], experiment.spd[row.spd]
    return {
        "seed": row.seeds[0],
        "recipe": recipe.model_dump(mode="json", include={"method", "views", "batch", "held_out"}),
        "spd": {
            **spd.model_dump(mode="json", include={"local", "strengths", "anchor", "weak_draws"}),
            "eta": float(spd.eta > 0),
        },
    }


# --- cells: one detector, one profile, one backbone, one part of a data set --------------------------


def cell_paths(table):
    """The cells of a table, in its rows' order."""
    if table.setup in TWO_CLASS_RUNS:
        return [
            f"{RESULTS}/cells/{dataset}/{table.setup}/{detector}-{profile}/{part}/{name}-seed{seed}/{run}.json"
            for name in table.rows
            for seed in experiment.pretrainings[name].seeds
            for profile in table.profiles
            for detector in experiment.detectors_of(table)
            for dataset in table.datasets
            for part in parts(dataset)
            for run in TWO_CLASS_RUNS[table.setup]
        ]
    return [
        f"{RESULTS}/cells/{dataset}/{table.setup}/{table.detector}-{profile}/{part}/{name}-seed{seed}.json"
        for name in table.rows
        for seed in experiment.pretrainings[name].seeds
        for profile in table.profiles
        for dataset in table.datasets
        for part in parts(dataset)
    ]


def kept(path):
    return path if experiment.compute.keep_features else temp(path)


def geometry_of(wc):
    return experiment.detectors[wc.detector][wc.profile].geometry


def class_of(wc):
    """Import path of the class of a cell's detector: its module counts in the stage's hash."""
    return experiment.detector(wc.detector).path


def place(cell):
    """The wildcards that a detector's cell was made with."""
    dataset, setup, run, part, name, *_ = Path(cell).relative_to(f"{RESULTS}/cells").parts
    pretraining, _, seed = name.removesuffix(".json").rpartition("-seed")
    detector, _, profile = run.partition("-")
    return SimpleNamespace(
        dataset=dataset,
        setup=setup,
        detector=detector,
        profile=profile,
        part=part,
        pretraining=pretraining,
        seed=int(seed),
    )


def records():
    """Every stage's records in the order in which runs appear: data, backbones, cells, and what shows them."""
    made = []
    for name in used_datasets():
        if name in ARCHIVES:
            file = ARCHIVES[name]
            made += [f"{file}.verified"] if file in DOWNLOADS else []
            made += [f"{file}.json"] if file.startswith("data/demo/") else []
            made += inventory(name)
    read = [
        (name, setup)
        for name in experiment.dataset_overview.datasets
        for setup in experiment.datasets[name].setups
    ]
    read += [(name, table.setup) for table in experiment.tables.values() for name in table.datasets]
    read += [(experiment.corpus.dataset, "1cls")] if trains() else []
    made += [f"{RESULTS}/records/examined/{name}.json" for name, _ in read]
    made += [f"{RESULTS}/records/manifests/{name}-{setup}.json" for name, setup in read]
    few = [table for table in experiment.tables.values() if table.setup == "2cls_fewshot"]
    made += [f"{RESULTS}/records/draws/{dataset}.json" for table in few for dataset in table.datasets]
    made += [f"{RESULTS}/records/corpus.json", f"{RESULTS}/records/views.json"] if trains() else []
    for name, seed in used_backbones():
        if CHECKPOINTS.get(name) in DOWNLOADS:
            made.append(f"{CHECKPOINTS[name]}.verified")
        made.append(f"{RESULTS}/records/backbones/{name}-seed{seed}.json")
    for table in experiment.tables.values():
        for cell in cell_paths(table):
            wc = place(cell)
            images = f"{wc.dataset}-{wc.setup}-{geometry_of(wc)}-{wc.part}"
            made.append(f"{RESULTS}/records/images/{images}.json")
            if table.setup not in TWO_CLASS_RUNS:
                made.append(f"{RESULTS}/records/features/{images}-{wc.pretraining}-seed{wc.seed}.json")
            made.append(cell)  # its own record
    made += [
        f"{RESULTS}/records/tables/{name}.json" for name in ["dataset_overview", *experiment.tables, "claims"]
    ]
    made += [f"{RESULTS}/records/qualitative.json", f"{RESULTS}/records/site.json"]
    return list(dict.fromkeys(made))


def scored(table):
    """(cell, maps, image cache) of a 1-class table's runs, first seeds only: what pictures are made of."""
    found = []
    for cell in cell_paths(table):
        at = place(cell)
        if at.seed == experiment.pretrainings[at.pretraining].seeds[0]:
            maps = f"{RESULTS}/maps/{Path(cell).relative_to(f'{RESULTS}/cells').with_suffix('.safetensors')}"
            images = f"{RESULTS}/images/{at.dataset}/{at.setup}/{geometry_of(at)}/{at.part}.safetensors"
            found.append((cell, maps, images))
    return found


SCORED = list(
    dict.fromkeys(
        one for table in experiment.tables.values() if table.setup == "1cls" for one in scored(table)
    )
)
PICTURED = {  # pre-training and seed -> its record, and its history where it was trained here
    (name, seed): (
        f"{RESULTS}/records/backbones/{name}-seed{seed}.json",
        f"{RESULTS}/backbones/{name}/seed{seed}.history.jsonl" if name in TRAINED else None,
    )
    for name in used_pretrainings()
    for seed in experiment.pretrainings[name].seeds
}
HISTORIES = [history for _, history in PICTURED.values() if history is not None]


# --- tables, and the store of runs --------------------------------------------------------------------

FORMATS = ["csv", "md", "tex", "html"]


def table_options(table):
    """A table's options, its data sets and its detector by the names that cells carry and tables show."""
    names = [experiment.datasets[name].name for name in table.datasets]
    detector = table.detector and experiment.detector(table.detector).label
    return {**table.model_dump(mode="json"), "datasets": names, "detector": detector}


def table_files(name, caption, category, title, objects=False):
    """The files of a table, or of its companion of objects; Snakemake's report shows the CSV and the page."""
    stem = f"{RESULTS}/tables/{name}_objects" if objects else f"{RESULTS}/tables/{name}"
    shown = {"caption": f"captions/{caption}.rst", "category": category, "subcategory": title}
    pages = {"csv": "every number", "html": "every object" if objects else "the table"}
    files = []
    for suffix in FORMATS[1:] if objects else FORMATS:
        file = f"{stem}.{suffix}"
        if suffix in pages:
            file = report(file, labels={"file": f"{pages[suffix]} ({suffix.upper()})"}, **shown)
        files.append(file)
    return files


# Files beside the code, by their content: as inputs, a project that was moved would make its tables anew.
STATED = files_sha256(  # published counts, where a data set of the overview must meet them
    (HERE / "spd/facts").glob("*_counts.csv")
    if any(experiment.datasets[name].facts for name in experiment.dataset_overview.datasets)
    else []
)
TEMPLATES = files_sha256(path for path in (HERE / "spd/report/templates").iterdir() if path.is_file())


def linear_records():
    """Results of the linear protocol that are there, and their table's record -> the hash of each; no inputs, as above."""
    names = [f"linear/{name}-seed{seed}" for name, seed in used_backbones()]
    paths = [Path(f"{RESULTS}/{name}.json") for name in [*names, "records/tables/linear_protocol"]]
    return {str(path): file_sha256(path) for path in paths if path.exists()}


def store():
    """The local store, which is brought up to date rather than made anew; none where a server is used."""
    return [] if "MLFLOW_TRACKING_URI" in os.environ else update(f"{RESULTS}/mlflow/mlflow.db")


def beside():
    """record -> what its run in MLflow shows besides (workflow_scripts.common.tracking.Beside)."""
    found = {}
    for name, seed in used_backbones():
        ours = name in TRAINED
        found[f"{RESULTS}/records/backbones/{name}-seed{seed}.json"] = {
            **measured(
                f"pretrain/{name}-seed{seed}-{hash_of(name, seed)}"
                if ours
                else f"import_backbone/{name}-seed{seed}"
            ),
            "gpus": math.prod(experiment.compute.of(name)) if ours else 0,
            "backbone": f"{RESULTS}/backbones/{name}/seed{seed}.safetensors",
            "views": f"{RESULTS}/views/{name}.png" if ours else None,
        }
    for table_name, table in experiment.tables.items():
        for cell in cell_paths(table):
            at = place(cell)
            parts = Path(cell).relative_to(f"{RESULTS}/cells").parts
            two = table.setup in TWO_CLASS_RUNS
            stem = "-".join(parts[:-1] if two else parts).removesuffix(".json")
            entry = found.setdefault(
                cell, {**measured(f"{'finetune' if two else 'detect'}/{stem}"), "tables": []}
            )
            if table_name not in entry["tables"]:
                entry["tables"].append(table_name)
            if not two and at.seed == experiment.pretrainings[at.pretraining].seeds[0]:  # there are heat maps
                label = experiment.detector(table.detector).label
                view = [experiment.datasets[at.dataset].name, at.setup, label, at.profile]
                entry["heat_maps"] = [view, at.pretraining]
            images = f"{at.dataset}-{at.setup}-{geometry_of(at)}-{at.part}"
            if not two:
                stem = f"{images}-{at.pretraining}-seed{at.seed}"
                found[f"{RESULTS}/records/features/{stem}.json"] = measured(f"features/{stem}")
    return found


def measured(job):
    """Where Snakemake and a job leave what the job cost, and Slurm's number for it."""
    return {"benchmark": f"{RESULTS}/benchmarks/{job}.tsv", "job": f"{RESULTS}/logs/{job}.slurm"}


def server():
    """Stands for MLFLOW_TRACKING_URI, which may hold a password."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return None if uri is None else hashlib.sha256(uri.encode()).hexdigest()[:12]


def pattern(names):
    """A wildcard's constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


wildcard_constraints:
    dataset=pattern(experiment.datasets),
    setup="1cls|2cls_highshot|2cls_fewshot",
    pretraining=pattern(experiment.pretrainings),
    geometry=pattern(experiment.geometries),
    detector=pattern(experiment.detectors),
    profile=r"[A-Za-z0-9_.]+",
    part=r"[^/]+",
    seed=r"\d+",
    hash=f"[0-9a-f]{{{backbone_hash.DIGITS}}}",
