"""One line for each finished step, with a bar and the time left, in place of Snakemake's three."""

import logging
import re
from collections.abc import Iterable, Mapping

from snakemake_interface_logger_plugins.common import LogEvent

from workflow_scripts.common.progress import Progress

# What a job has already said itself (workflow_scripts/common/job.py): that it failed, and why, or was
# interrupted.
SAID = re.compile(r"CalledProcessError in file .* returned non-zero exit status (1|130)\.", re.DOTALL)
STOPPING = "Terminating processes on user request"


class Watch(logging.Filter):
    """Sees every message, also those that the user's flags leave out, and leaves out some more."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress
        self.stopping = False

    def filter(self, record: logging.LogRecord) -> bool:
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
        # A line for each job that the scheduler selects or starts would be noise.
        noise = event == LogEvent.JOB_STARTED or said == "Select jobs to execute..."
        return not (noise or SAID.search(said) or (self.stopping and record.levelno >= logging.ERROR))


class OneLine(logging.Formatter):
    """Snakemake's own formatter, but for the end of a step."""

    def __init__(self, inner: logging.Formatter, progress: Progress) -> None:
        super().__init__()
        self.inner, self.progress = inner, progress

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_FINISHED:
            return ""  # the line that follows says it
        if event == LogEvent.PROGRESS:
            return self.progress.line(record.done, record.total)
        if str(record.msg).startswith(STOPPING):
            told = "jobs are told to end, and trainings save first. The same command goes on from there."
            return f"Stopping: {told}"
        return self.inner.format(record)


def show_progress(handlers: Iterable[logging.Handler], expected: Mapping[str, float]) -> None:
    """Changes what goes to the terminal; the log under .snakemake/log stays Snakemake's.

    expected: rule -> seconds of one of its jobs, replaced by what is seen as soon as one has ended.
    """
    progress = Progress(expected)
    for handler in handlers:
        if handler.name == "DefaultStreamHandler":
            handler.filters.insert(0, Watch(progress))
            handler.setFormatter(OneLine(handler.formatter, progress))
