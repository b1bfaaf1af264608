"""Prints what the whole experiment would take: jobs, hours, wall time, disk, trainings; the log keeps it."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from spd.config.model import load

sys.path.insert(0, str(Path(snakemake.params.snakefile).parent))
from workflow_scripts.planning.graph import graph
from workflow_scripts.planning.report import report

log, snakefile = Path(snakemake.log[0]), Path(snakemake.params.snakefile)
log.parent.mkdir(parents=True, exist_ok=True)
experiment = load(snakefile.parent / "config.yaml", snakemake.config)
try:
    nodes = graph(snakefile, snakemake.config)
except WorkflowError as error:
    log.write_text(f"{error}\n")
    sys.exit(f"plan: {error}")
text = report(experiment, nodes, Path(f"results/{experiment.preset}/manifests"))
log.write_text(text)
print(text)
