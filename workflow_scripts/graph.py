"""The graph of jobs that Snakemake plans, read from its own dry run."""

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.io import is_flagged
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from workflow_scripts.planning.stages import Node


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
        # Rules that only collect files, or stand for those that a person must put there, run nothing.
        jobs = [job for job in dag.jobs if not job.rule.norun]
        numbers = {job: number for number, job in enumerate(jobs)}
        temporary = {job: {str(file) for file in job.output if is_flagged(file, "temp")} for job in jobs}
        return {
            numbers[job]: Node(
                stage=job.rule.name,
                at=dict(job.wildcards_dict),
                gpus=int(job.resources.get("gpu", 0)),
                local=job.rule.name in workflow._workflow._localrules,
                after=tuple(sorted(numbers[other] for other in dag.dependencies[job] if other in numbers)),
                reads=tuple(
                    numbers[other]
                    for other, files in dag.dependencies[job].items()
                    if other in numbers and not temporary[other].isdisjoint(files)
                ),
                left=dag.needrun(job),
            )
            for job in jobs
        }
