"""One line a finished step, with a bar and the time left, in place of Snakemake's three."""

import logging
import re

from snakemake_interface_logger_plugins.common import LogEvent

from workflow_scripts.common.progress import Progress

# Seconds of a job of preset demo on one core of two. Each is replaced by what is seen as soon as one has ended.
EXPECTED = {
    **dict.fromkeys(["all", "tables"], 0),
    **dict.fromkeys(experiment.tables, 2),
    **{"demo_archive": 12, "unpack": 1, "examine": 3, "manifest": 1, "images": 2, "corpus": 4, "views": 12},
    **{"pretrain": 30, "link_backbone": 1, "import_backbone": 6, "features": 8, "detect": 10, "draws": 1},
    **{"finetune_fewshot": 18, "finetune_highshot": 14, "dataset_overview": 2, "claims": 2},
    **{"qualitative": 40, "site": 4, "mlflow_sync": 30},
}
# What a job has already said itself (workflow_scripts/common/job.py): that it failed, and why; that it was interrupted.
SAID = re.compile(r"CalledProcessError in file .* returned non-zero exit status (1|130)\.", re.DOTALL)
STOPPING = "Terminating processes on user request"


class Watch(logging.Filter):
    """Sees every message before those that the user wants no part of are left out, and leaves out some more."""

    def __init__(self, progress):
        super().__init__()
        self.progress = progress
        self.stopping = False

    def filter(self, record):
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self.progress.planned({rule: n for rule, n in record.stats.items() if rule != "total"})
        elif event == LogEvent.JOB_INFO:
            shown = {key: value for key, value in (record.wildcards or {}).items() if key != "hash"}
            words = [record.rule_name, *(str(value) for value in shown.values())]
            self.progress.started(record.jobid, record.rule_name, " ".join(words))
        elif event == LogEvent.JOB_FINISHED:
            self.progress.finished(record.job_id)
        said = str(record.msg)
        if said.startswith(STOPPING):
            self.stopping = True
            return True
        # Of a scheduler's doings nobody wants a line for each job.
        noise = event == LogEvent.JOB_STARTED or said == "Select jobs to execute..."
        return not (noise or SAID.search(said) or (self.stopping and record.levelno >= logging.ERROR))


class OneLine(logging.Formatter):
    """Snakemake's own formatter, but for the end of a step."""

    def __init__(self, inner, progress):
        super().__init__()
        self.inner, self.progress = inner, progress

    def format(self, record):
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_FINISHED:
            return ""  # the line that follows says it
        if event == LogEvent.PROGRESS:
            return self.progress.line(record.done, record.total)
        if str(record.msg).startswith(STOPPING):
            return "Stopping: jobs are told to end, and trainings save first. The same command goes on from there."
        return self.inner.format(record)


def show_progress():
    """Changes what goes to the terminal; the log under .snakemake/log stays Snakemake's."""
    progress = Progress(EXPECTED if experiment.preset in ("demo", "tiny") else {})
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.filters.insert(0, Watch(progress))
            handler.setFormatter(OneLine(handler.formatter, progress))


if workflow.is_main_process:
    show_progress()
