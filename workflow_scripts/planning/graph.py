"""The graph of jobs that Snakemake plans, read from its own dry run."""

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)


class Node(NamedTuple):
    """A job: its rule, wildcards, GPUs on all nodes together, whether it runs on the login node, indices of
    the jobs that it waits for, and whether it is still to run."""

    stage: str
    at: Mapping[str, str]
    gpus: int = 0
    local: bool = False
    after: tuple[int, ...] = ()
    left: bool = True


def graph(snakefile: Path, config: Mapping[str, Any]) -> dict[int, Node]:
    """Every job of the default target in this folder, with those that are still to run marked.

    config: what the user gave with --configfile and --config. Raises WorkflowError for a graph that cannot be
    built, with what Snakemake says of it.
    """
    said = io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
        SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api,
    ):
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=os.cpu_count()),
            config_settings=ConfigSettings(config=dict(config)),
            snakefile=snakefile,
        )
        try:
            workflow.dag(DAGSettings()).execute_workflow(
                "dryrun", execution_settings=ExecutionSettings(lock=False)
            )
        except Exception as error:
            raise WorkflowError(f"the jobs cannot be planned: {error}\n{said.getvalue()}") from None
        # Snakemake's API runs and prints graphs, and gives none: these are its own objects.
        dag = workflow._workflow.dag
        # Rules that only collect files, or represent those that a person must put there, run nothing.
        jobs = [job for job in dag.jobs if not job.rule.norun]
        jobs.sort(key=lambda job: (job.rule.name, sorted(job.wildcards_dict.items())))
        numbers = {job: number for number, job in enumerate(jobs)}
        return {
            number: Node(
                stage=job.rule.name,
                at=dict(job.wildcards_dict),
                gpus=int(job.resources.get("gpu", 0)),
                local=job.rule.name in workflow._workflow._localrules,
                after=tuple(sorted(numbers[other] for other in dag.dependencies[job] if other in numbers)),
                left=dag.needrun(job),
            )
            for job, number in numbers.items()
        }
