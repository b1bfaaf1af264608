"""What the process that submits cluster jobs needs."""

import os
import shutil

from workflow_scripts.common import cluster

SBATCH = shutil.which("sbatch")  # Slurm's own: ours would wait for a slurmctld that is away

if workflow.is_main_process:
    # An sbatch that waits while slurmctld is away, and a sacct that needs no accounting, come first. Whether this
    # run submits anything is not known yet; for one that does not it changes nothing.
    own = str(HERE / "slurm/bin")
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])
