"""Prints what the whole experiment would take: jobs, hours, wall time, disk, price; the log keeps it."""

import sys
from pathlib import Path

from graph import graph
from snakemake.exceptions import WorkflowError

from spd.config.model import load
from workflow_scripts.planning.disk import counted, published
from workflow_scripts.planning.report import report

log, snakefile = Path(snakemake.log[0]), Path(snakemake.params.snakefile)
log.parent.mkdir(parents=True, exist_ok=True)
experiment = load(snakefile.parent / "config.yaml", snakemake.config)
try:
    nodes = graph(snakefile, snakemake.config)
except WorkflowError as error:
    log.write_text(f"{error}\n")
    sys.exit(f"plan: {error}")
text = report(
    experiment, nodes, counted(Path(f"results/{experiment.preset}/manifests"), published(experiment))
)
log.write_text(text)
print(text)
