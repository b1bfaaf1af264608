"""Where everything lies, and what each stage needs; the rules below only fill in names."""

from urllib.parse import quote

from spd.datasets.fingerprint import folder_fingerprint
from spd.datasets.options import expand as expand_path


def stage_code(rule_name):
    """Hash of the sources a stage runs: a changed module of spd/ marks its results stale.

    Preset paper only warns (its tables name the versions they mix): a checkout must not redo GPU-weeks.
    """
    if experiment.compute.stale_code == "warn":
        return "any"
    return source_hash(HERE / "workflow_scripts" / f"{rule_name}.py")


# --- data sets ---------------------------------------------------------------------------------------


def used_datasets():
    """Every data set that a table, the overview or the pre-training corpus reads, in config's order."""
    used = {experiment.corpus.dataset, *experiment.dataset_overview.datasets}
    for table in experiment.tables.values():
        used.update(table.datasets)
    return [name for name in experiment.datasets if name in used]


ARCHIVES = {  # data set -> archive, for those that come as one
    name: str(expand_path(dataset.archive.file, f"datasets.{name}.archive.file"))
    for name, dataset in experiment.datasets.items()
    if dataset.archive is not None
}
DOWNLOADS = {  # file name -> its entry, for everything that has an address
    Path(entry.file).name: entry
    for entry in [
        *(dataset.archive for dataset in experiment.datasets.values() if dataset.archive is not None),
        *experiment.weights.values(),
    ]
    if entry.url is not None
}
UNPACKED = {  # data set -> folder its archive is unpacked to, beside the archive
    name: str(Path(archive).parent / "unpacked" / name) for name, archive in ARCHIVES.items()
}


def inventory(dataset):
    """The file that says an archive is unpacked, as a list; empty where there is none to unpack."""
    return [f"{UNPACKED[dataset]}.json"] if dataset in UNPACKED else []


def folder_state(dataset):
    """Hash of paths, sizes and times of a user's folder: one replaced image rebuilds its data set's chain."""
    if experiment.datasets[dataset].root is None:
        return None
    root = expand_path(experiment.datasets[dataset].root, f"datasets.{dataset}.root")
    return folder_fingerprint(root) if root.is_dir() else "absent"


def dataset_at(folder):
    return next(name for name, target in UNPACKED.items() if target == folder)


def manifest(dataset, setup):
    return f"{RESULTS}/manifests/{dataset}/{setup}.csv"


def parts(dataset):
    """What one detector job handles: `all` objects, or one object a job, by its quoted name."""
    objects = experiment.datasets[dataset].objects
    if experiment.compute.objects_per_job == "all" or objects is None:
        return ["all"]
    return [quote(name, safe="") for name in objects]


# --- backbones ---------------------------------------------------------------------------------------


def backbone_files(name):
    """One backbone a seed."""
    return [
        f"{RESULTS}/backbones/{name}/seed{seed}.safetensors" for seed in experiment.pretrainings[name].seeds
    ]


TRAINED = [name for name, row in experiment.pretrainings.items() if row.recipe is not None]
ELSEWHERE = [name for name, row in experiment.pretrainings.items() if row.source is not None]


def published_sha256(checkpoint):
    """The hash that a published checkpoint must have, None for a file of the user's own."""
    return next((entry.sha256 for entry in experiment.weights.values() if entry.file == checkpoint), None)


def initial_weights(name, seed):
    """The backbone a continued pre-training starts from, as a list."""
    start = experiment.pretrainings[name].init
    if start is None:
        return []
    seeds = experiment.pretrainings[start].seeds
    return [f"{RESULTS}/backbones/{start}/seed{seed if seed in seeds else seeds[0]}.safetensors"]


def training_resources():
    """What one training asks of Snakemake and of Slurm; several nodes are one `srun` of the job itself."""
    nodes, gpus = experiment.compute.nodes, experiment.compute.gpus
    # Warn a training before its time limit, so that it saves and goes on later (workflow_scripts/launch.py).
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


def stages(name):
    """Stages that detectors read from a pre-training's backbone, shallow to deep."""
    row = experiment.pretrainings[name]
    return list(row.source.stages if row.source else experiment.backbones[row.backbone].stages)


def used_pretrainings():
    """Every pre-training that a table reads, in config's order."""
    used = {row for table in experiment.tables.values() for row in table.rows}
    return [name for name in experiment.pretrainings if name in used]


# --- cells: one detector, one profile, one backbone, one part of a data set --------------------------


def cell_paths(table):
    """The cells of a table, in its rows' order."""
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
    return getattr(experiment.detectors, wc.detector)[wc.profile].geometry


def records():
    """Records in the order in which runs appear: manifests, backbones, cells, and the tables last."""
    made = [
        f"{RESULTS}/records/manifests/{name}-{setup}.json"
        for name in experiment.dataset_overview.datasets
        for setup in experiment.datasets[name].setups
    ]
    made += [
        f"{RESULTS}/records/backbones/{name}-seed{seed}.json"
        for name in used_pretrainings()
        for seed in experiment.pretrainings[name].seeds
    ]
    for table in experiment.tables.values():
        for cell in cell_paths(table):
            at = Path(cell).relative_to(f"{RESULTS}/cells").parts
            made.append(f"{RESULTS}/records/cells/{'-'.join(at)}")
    made += [
        f"{RESULTS}/records/tables/{name}.json" for name in ["dataset_overview", *experiment.tables, "claims"]
    ]
    return list(dict.fromkeys(made))


def scored(table):
    """(cell, maps, image cache) of a 1-class table's runs, first seeds only: what pictures are made of."""
    found = []
    for cell in cell_paths(table):
        dataset, setup, run, part, name = Path(cell).relative_to(f"{RESULTS}/cells").parts
        pretraining, _, seed = name.removesuffix(".json").rpartition("-seed")
        if int(seed) == experiment.pretrainings[pretraining].seeds[0]:
            detector, _, profile = run.partition("-")
            geometry = getattr(experiment.detectors, detector)[profile].geometry
            maps = f"{RESULTS}/maps/{dataset}/{setup}/{run}/{part}/{pretraining}-seed{seed}.safetensors"
            found.append((cell, maps, f"{RESULTS}/images/{dataset}/{setup}/{geometry}/{part}.safetensors"))
    return found


SCORED = list(
    dict.fromkeys(
        one for table in experiment.tables.values() if table.detector is not None for one in scored(table)
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


def pattern(names):
    """A wildcard's constraint: exactly these names, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


wildcard_constraints:
    dataset=pattern(experiment.datasets),
    setup="1cls|2cls_highshot|2cls_fewshot",
    pretraining=pattern(experiment.pretrainings),
    geometry=pattern(experiment.geometries),
    detector=pattern(type(experiment.detectors).model_fields),
    profile=r"[A-Za-z0-9_.]+",
    part=r"[^/]+",
    seed=r"\d+",
