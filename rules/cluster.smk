"""What the process that submits cluster jobs needs."""

import os

if workflow.non_local_exec and workflow.is_main_process:
    # An sbatch that waits while slurmctld is away, and a sacct that needs no accounting, come first.
    os.environ["PATH"] = f"{HERE / 'slurm/bin'}{os.pathsep}{os.environ['PATH']}"
