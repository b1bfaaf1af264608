"""What this run's cluster jobs need and do not have, told before the first of them."""

import logging
import os
import re
import shlex
from collections.abc import Iterable
from typing import Any

from snakemake.exceptions import WorkflowError

from spd.config.model import Config
from workflow_scripts.common import preflight


def missing(workflow: Any, experiment: Config, jobs: Iterable[Any], sbatch: str | None) -> list[str]:
    """A line for each thing that jobs which go to a cluster need and do not have.

    workflow, jobs: Snakemake's own objects. sbatch: Slurm's own command, None where there is none.
    """
    problems = []
    on_gpus = {job.rule.name for job in jobs if job.resources.get("gpu")}
    if on_gpus and experiment.compute.device != "cpu":
        problems += preflight.gpu_build(faiss="detect" in on_gpus and experiment.asks_for_faiss())
    if workflow.executor_plugin.name == "slurm":
        submitted = _submitted(workflow)
        problems += preflight.slurm(_options(submitted), sbatch)
        problems += _refused_accounts(submitted)
    return problems


def _submitted(workflow: Any) -> list[Any]:
    """Every job, or group of jobs, that becomes a Slurm job of its own."""
    found = {}
    for job in workflow.dag.needrun_jobs():
        if not workflow.is_local(job.rule):
            one = workflow.dag.get_job_group(job) or job
            found[id(one)] = one
    return list(found.values())


def _options(submitted: Iterable[Any]) -> dict[str, list[str]]:
    """Options that the Slurm plugin will give sbatch -> the rules submitted so."""
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    found: dict[str, list[str]] = {}
    for job in submitted:
        resources = job.resources
        named = {"account": ("-A", "slurm_account"), "partition": ("-p", "slurm_partition")}
        given = {
            key: f" {option} {shlex.quote(str(resources.get(resource)))}" if resources.get(resource) else ""
            for key, (option, resource) in named.items()
        }
        fixed = {"run_uuid": "spd", "slurm_logfile": os.devnull, "comment_str": "spd", "workdir": ""}
        call = get_submit_command(job, fixed | given) + set_gres_string(job)
        options = call.partition("--comment spd ")[2]  # what comes before names the job and its log
        rules = found.setdefault(options, [])
        rules += [name for name in _rules_of(job) if name not in rules]
    return found


def _rules_of(job: Any) -> list[str]:
    return sorted({member.rule.name for member in job.jobs} if job.is_group() else {job.rule.name})


def _refused_accounts(submitted: Iterable[Any]) -> list[str]:
    """Accounts that the Slurm plugin would refuse, a line each."""
    from snakemake_executor_plugin_slurm.accounts import validate_account

    accounts = {str(job.resources.get("slurm_account") or "") for job in submitted}
    quiet, found = logging.Logger("quiet"), []
    for account in sorted({one for several in accounts for one in re.split(r"[,\s]+", several) if one}):
        try:
            validate_account(account, quiet)
        except WorkflowError as error:
            found.append(f"slurm_account: {' '.join(str(error).split())}")
        except OSError:
            break  # without Slurm's commands there is a line for that already
    return found
