"""Fine-tunes a backbone on every draw of each object, as a classifier or a U-Net: cells of 2-class tables."""

import shutil
from pathlib import Path

from workflow_scripts.common.job import cpus, running

DECIDE = ("options", "code", "split_hash", "checkpoint", "draws", "geometry")  # what finished draws hang on

with running(snakemake) as job:
    import torch

    from spd.detectors.finetuned.draws import read_draws
    from spd.detectors.finetuned.evaluation import METRIC, evaluate
    from spd.detectors.finetuned.runs import Run, runs
    from spd.detectors.registry import DETECTORS
    from spd.detectors.results import Cell
    from spd.files import file_sha256
    from workflow_scripts.common.cells import described

    params, files = snakemake.params, snakemake.input
    detector = DETECTORS[params.detector]
    job.sources.append(detector.path)
    torch.set_num_threads(cpus(snakemake))
    one = described(snakemake, job, setup=params.setup, label=detector.label, metric=METRIC)
    provenance = {**one["provenance"], "draws": file_sha256(files.draws) if params.fewshot else None}
    of_draws = runs(**params.fewshot) if params.fewshot else [Run()]
    # Next to the outputs: Snakemake deletes those of a job that fails, and finished draws must outlive it.
    state = Path(snakemake.output.cells[0]).parent.with_suffix(".unfinished")
    results = evaluate(
        params.detector,
        detector.options(**params.options),
        files.backbone,
        files.images,
        read_draws(files.draws) if params.fewshot else None,
        of_draws,
        state,
        identity={key: provenance[key] for key in DECIDE},
        device=None if params.device == "auto" else params.device,
    )
    for run, path in zip(of_draws, snakemake.output.cells, strict=True):
        more = {"task": detector.tasks[0], "shots": run.shots, "draw": run.draw, "provenance": provenance}
        Cell(**{**one, **more}, objects=results[run]).write(path)
    shutil.rmtree(state)
