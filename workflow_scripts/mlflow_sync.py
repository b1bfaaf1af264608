"""Brings MLflow up to date with the run records."""

import os
from pathlib import Path

from job import running

with running(snakemake) as job:
    from spd.records import write_json
    from spd.tracking import sync

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    done = sync(
        snakemake.input.records,
        Path(snakemake.output[0]).parent,
        preset=snakemake.params.preset,
        tracking_uri=uri,
    )
    job.say(f"{done.created} runs created, {done.replaced} replaced, {done.unchanged} unchanged")
    write_json(snakemake.output[0], {"records": len(snakemake.input.records), "server": uri is not None})
