"""Brings MLflow up to date with the run records."""

import os
from pathlib import Path

from job import running

with running(snakemake) as job:
    from spd.names import Names
    from spd.records import write_json
    from spd.tracking import sync

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    done = sync(
        snakemake.input.records,
        Path(snakemake.output.synced).parent,
        preset=snakemake.params.preset,
        tracking_uri=uri,
        names=Names(**snakemake.params.names),
    )
    job.say(f"{done.created} runs created, {done.replaced} replaced, {done.unchanged} unchanged")
    write_json(snakemake.output.synced, {"records": len(snakemake.input.records), "server": uri is not None})
