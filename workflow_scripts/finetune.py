"""Fine-tunes a backbone on every draw of each object, as a classifier or a U-Net: cells of 2-class tables."""

import shutil
from pathlib import Path

from job import cpus, running

with running(snakemake):
    import torch

    from spd.backbones.files import read_metadata
    from spd.images.cache import ImageCache
    from spd.provenance import code_version, file_sha256
    from spd.records import read_json, write_json, write_record
    from spd.twoclass.draws import read_draws
    from spd.twoclass.evaluation import LABELS, METRIC, OPTIONS, TASKS, evaluate
    from spd.twoclass.runs import Run, runs

    at, given, row = snakemake.wildcards, snakemake.params, snakemake.params.row
    seed = int(at.seed)
    torch.set_num_threads(cpus(snakemake))
    backbone = read_metadata(snakemake.input.backbone)
    wanted = runs(**given.fewshot) if given.fewshot else [Run()]
    code = code_version(Path(snakemake.scriptdir) / "finetune.py")
    key = f"cell/{at.dataset}/{given.setup}/{at.detector}-{at.profile}/{at.part}/{at.pretraining}/seed{seed}"
    provenance = {
        "preset": given.preset,
        **code,
        "pretraining_code": backbone.more.get("code"),
        "split_hash": ImageCache(snakemake.input.images).split_hash,
        "data_fingerprint": read_json(snakemake.input.sidecar)["fingerprint"],
        "checkpoint": file_sha256(snakemake.input.backbone),
        "draws": file_sha256(snakemake.input.draws) if given.fewshot else None,
        "geometry": given.geometry,
        "metric": METRIC,
        "run_key": key,
    }
    # Beside the outputs: Snakemake deletes those of a job that fails, and finished draws must outlive it.
    state = Path(snakemake.output.cells[0]).parent.with_suffix(".unfinished")
    results = evaluate(
        at.detector,
        OPTIONS[at.detector](**given.options),
        snakemake.input.backbone,
        snakemake.input.images,
        read_draws(snakemake.input.draws) if given.fewshot else None,
        wanted,
        state,
        identity={
            "options": given.options,
            **{k: provenance[k] for k in ("code", "split_hash", "checkpoint", "draws", "geometry")},
        },
        device=None if given.device == "auto" else given.device,
    )
    pretraining = {
        "name": at.pretraining,
        "label": row["label"],
        "method": row["label"],
        "spd": row["spd"],
        "backbone": backbone.architecture,
        "labels": row["labels"],
        "seed": seed,
    }
    for run, path in zip(wanted, snakemake.output.cells, strict=True):
        cell = {
            "schema": 1,
            "dataset": given.dataset,
            "setup": given.setup,
            "detector": LABELS[at.detector],
            "task": TASKS[at.detector],
            "profile": at.profile,
            "pretraining": pretraining,
            "shots": run.shots,
            "draw": run.draw,
            "objects": results[run],
            "provenance": provenance,
        }
        write_json(path, cell)

    def mean(shots, metric):
        task = TASKS[at.detector]
        found = [o[task] for run, objects in results.items() if run.shots == shots for o in objects.values()]
        values = [result[metric] for result in found if result is not None and result[metric] is not None]
        return sum(values) / len(values) if values else None

    names = {"AU-ROC": "au_roc", "AU-PR": "au_pr", "AP": "ap", "F1-max": "f1_max"}
    if at.detector == "unet":
        names = {metric: f"pixel_{name}" for metric, name in {**names, "AU-PRO": "au_pro"}.items()}
    write_record(
        snakemake.output.record,
        key=key,
        experiment=f"{LABELS[at.detector]} {given.setup}",
        name=f"{at.pretraining} seed{seed} {given.dataset} {at.profile} {at.part}",
        params={
            **{k: v for k, v in pretraining.items() if k != "label"},
            "dataset": given.dataset,
            "setup": given.setup,
            "profile": at.profile,
            "part": at.part,
            **{f"fewshot.{option}": value for option, value in (given.fewshot or {}).items()},
            **{f"{at.detector}.{option}": value for option, value in given.options.items()},
        },
        metrics={
            f"{at.detector}/{f'{k}shot_' if k else ''}{name}": mean(k, metric)
            for k in dict.fromkeys(run.shots for run in wanted)
            for metric, name in names.items()
        },
        provenance=provenance,
        artifacts=tuple(snakemake.output.cells),
    )
    shutil.rmtree(state)
