"""SPD: from archives to tables, in the order of the files under rules/.

snakemake --cores all                      everything in the preset of config.yaml
snakemake --cores all padim_1class         one table and what it needs
snakemake -n                               what would run, and why
snakemake --cores all --profile slurm      preset paper on a cluster
"""

import os
import socket
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

HERE = Path(workflow.basedir)
sys.path.insert(0, str(HERE))  # workflow_scripts and demo_data are not installed: here and in every job
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))}

from spd.config.model import ConfigError, load
from workflow_scripts.common.faiss_wheels import FaissError, check_faiss
from workflow_scripts.common.provenance import source_hash

min_version("9.0")

try:
    # Snakemake's own `config` holds only what the user gave with --configfile and --config.
    experiment = load(HERE / "config.yaml", overrides=config)
    check_faiss(needed=experiment.asks_for_faiss())
except (ConfigError, FaissError) as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{experiment.preset}"


include: "rules/lock.smk"
include: "rules/cluster.smk"
include: "rules/progress.smk"
include: "rules/layout.smk"
include: "rules/preflight.smk"
include: "rules/params.smk"
include: "rules/data.smk"
include: "rules/pretrain.smk"
include: "rules/features.smk"
include: "rules/detect.smk"
include: "rules/finetune.smk"
include: "rules/linear.smk"
include: "rules/tables.smk"
include: "rules/pictures.smk"
include: "rules/tracking.smk"
include: "rules/studies.smk"
include: "rules/plan.smk"


localrules:
    all,
    tables,


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.site.output,
        rules.mlflow_sync.output,


onstart:
    if workflow.is_main_process:
        hold_results()
        check_before_start()
        set_aside_earlier_backbones()
    for notice in NOTICES:
        print(f"Note: {notice}", flush=True)
