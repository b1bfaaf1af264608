"""Fine-tunes a backbone on every draw of each object, as a classifier or a U-Net: cells of 2-class tables."""

import shutil
from pathlib import Path

from workflow_scripts.common.job import cpus, running

with running(snakemake):
    import torch

    from spd.backbones.files import read_metadata
    from spd.data.cache import ImageCache
    from spd.detectors.finetuned.draws import read_draws
    from spd.detectors.finetuned.evaluation import LABELS, METRIC, OPTIONS, TASKS, evaluate, mean_metrics
    from spd.detectors.finetuned.runs import Run, runs
    from spd.files import file_sha256, read_json, write_json
    from workflow_scripts.common.provenance import code_version
    from workflow_scripts.common.records import write_record

    at, given = snakemake.wildcards, snakemake.params
    seed = int(at.seed)
    torch.set_num_threads(cpus(snakemake))
    backbone, cache = read_metadata(snakemake.input.backbone), ImageCache(snakemake.input.images)
    wanted = runs(**given.fewshot) if given.fewshot else [Run()]
    code = code_version(Path(snakemake.scriptdir) / "finetune.py")
    key = f"cell/{at.dataset}/{given.setup}/{at.detector}-{at.profile}/{at.part}/{at.pretraining}/seed{seed}"
    provenance = {
        "preset": given.preset,
        **code,
        "pretraining_code": backbone.more.get("code"),
        "pretraining_notes": backbone.more.get("notes", []),
        "sources": {**backbone.more.get("sources", {}), **cache.sources},
        "split_hash": cache.split_hash,
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
    pretraining = {"name": at.pretraining, "backbone": backbone.architecture, "seed": seed}
    for run, path in zip(wanted, snakemake.output.cells, strict=True):
        cell = {
            "schema": 1,
            "dataset": at.dataset,
            "setup": given.setup,
            "detector": LABELS[at.detector],
            "task": TASKS[at.detector],
            "profile": at.profile,
            "pretraining": pretraining,
            "shots": run.shots,
            "draw": run.draw,
            "objects": results[run],
            "provenance": {**provenance, "options": given.options},
        }
        write_json(path, cell)
    write_record(
        snakemake.output.record,
        key=key,
        experiment=f"{LABELS[at.detector]} {given.setup}",
        name=f"{at.pretraining} seed{seed} {at.dataset} {at.profile} {at.part}",
        params={
            "pretraining": at.pretraining,
            "backbone": backbone.architecture,
            "seed": seed,
            "dataset": at.dataset,
            "setup": given.setup,
            "profile": at.profile,
            "part": at.part,
            **{f"fewshot.{option}": value for option, value in (given.fewshot or {}).items()},
            **{f"{at.detector}.{option}": value for option, value in given.options.items()},
        },
        metrics=mean_metrics(at.detector, results),
        provenance=provenance,
        artifacts=tuple(snakemake.output.cells),
    )
    shutil.rmtree(state)
