"""What the process that submits cluster jobs needs."""

import logging
import os
import re
import shlex
import shutil

from workflow_scripts.common import preflight

SUBMITS = HERE / "slurm/bin"
SBATCH = shutil.which("sbatch")  # Slurm's own: ours would wait for a slurmctld that is away

if workflow.is_main_process:
    # An sbatch that waits while slurmctld is away, and a sacct that needs no accounting, come first. Whether this
    # run submits anything is not known yet; for one that does not it changes nothing.
    os.environ |= {"PATH": os.pathsep.join([str(SUBMITS), os.environ.get("PATH", os.defpath)])}


def missing_on_the_cluster(jobs):
    """What jobs that go to a cluster need and do not have, a line each."""
    problems = []
    on_gpus = {job.rule.name for job in jobs if job.resources.get("gpu")}
    if on_gpus and experiment.compute.device != "cpu":
        faiss = "detect" in on_gpus and experiment.asks_for_faiss()
        problems += preflight.gpu_build(faiss=faiss)
    if workflow.executor_plugin.name == "slurm":
        problems += preflight.slurm(*submissions())
        problems += refused_accounts()
    return problems


def submissions():
    """Options that the Slurm plugin will give sbatch -> the rules submitted so, and Slurm's own sbatch."""
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    found = {}
    for job in submitted():
        resources = job.resources
        named = {"account": ("-A", "slurm_account"), "partition": ("-p", "slurm_partition")}
        given = {
            key: f" {option} {shlex.quote(str(resources.get(resource)))}" if resources.get(resource) else ""
            for key, (option, resource) in named.items()
        }
        fixed = {"run_uuid": "spd", "slurm_logfile": os.devnull, "comment_str": "spd", "workdir": ""}
        call = get_submit_command(job, fixed | given) + set_gres_string(job)
        options = call.partition("--comment spd ")[2]  # before it stands what names the job and its log
        rules = found.setdefault(options, [])
        rules += [name for name in rules_of(job) if name not in rules]
    return found, SBATCH


def submitted():
    """Every job, or group of jobs, that becomes a Slurm job of its own."""
    found = {}
    for job in workflow.dag.needrun_jobs():
        if not workflow.is_local(job.rule):
            one = workflow.dag.get_job_group(job) or job
            found[id(one)] = one
    return found.values()


def rules_of(job):
    return sorted({member.rule.name for member in job.jobs} if job.is_group() else {job.rule.name})


def refused_accounts():
    """Accounts that the Slurm plugin would refuse, a line each."""
    from snakemake_executor_plugin_slurm.accounts import validate_account

    accounts = {str(job.resources.get("slurm_account") or "") for job in submitted()}
    quiet, found = logging.Logger("quiet"), []
    for account in sorted({one for several in accounts for one in re.split(r"[,\s]+", several) if one}):
        try:
            validate_account(account, quiet)
        except WorkflowError as error:
            found.append(f"slurm_account: {' '.join(str(error).split())}")
        except OSError:
            break  # without Slurm's commands there is a line for that already
    return found
