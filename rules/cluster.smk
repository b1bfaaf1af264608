"""What the process that submits cluster jobs needs."""

import os

if workflow.is_main_process:
    # An sbatch that waits while slurmctld is away, and a sacct that needs no accounting, come first. Whether this
    # run submits anything is not known yet; for one that does not it changes nothing.
    os.environ |= {"PATH": os.pathsep.join([str(HERE / "slurm/bin"), os.environ.get("PATH", os.defpath)])}
