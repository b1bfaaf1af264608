"""What every script shares: the log, the threads, progress, the run record, and one line when it fails.

`with running(snakemake) as job:` sends output to the rule's log and echoes its latest line to the terminal
every few seconds, so that long work is seen to advance without filling the screen. `job.provenance` says
which code ran, and `job.record` writes the rule's run record.
"""

import contextlib
import functools
import hashlib
import io
import os
import re
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.common.launch import is_rank
from workflow_scripts.common.locks import only_one
from workflow_scripts.common.provenance import code_version
from workflow_scripts.common.records import write_record
from workflow_scripts.common.redaction import redact
from workflow_scripts.common.verify import hash_list, write_hashes

ECHO_SECONDS = 10
TAIL_LINES = 8
REASON_LINES = 40
UNTOLD = re.compile(r"\| 0/\d+ \[|\{\"")
"""In a line that is for the log alone: a progress bar that has just been drawn, or a report as JSON."""


class Job(io.TextIOBase):
    """A rule's job. As a stream it writes to `file` and, at most every ECHO_SECONDS, the latest line to the
    terminal."""

    def __init__(self, file: Any, terminal: Any, label: str, output: Any) -> None:
        self.file, self.terminal, self.label = file, terminal, label
        self.output = output
        self.sources: list[
            str
        ] = []  # import paths of the classes that the job uses, before `provenance` is asked
        self.echoed = time.monotonic()
        self.line = ""
        self.undeclared: list[Path] = []  # files that the job has made besides its outputs

    def write(self, text: str) -> int:
        length, text = len(text), redact(text)
        # A progress bar redraws its line with \r: the log keeps each state on a line of its own.
        self.file.write(text.replace("\r", "\n"))
        self.file.flush()
        self.line = next(
            (part for part in reversed(text.replace("\r", "\n").split("\n")) if part.strip()), self.line
        )
        if self.line and time.monotonic() - self.echoed > ECHO_SECONDS and not UNTOLD.search(self.line):
            self.say(self.line.strip())
        return length

    def say(self, text: str) -> None:
        """Prints a line to the terminal now."""
        self.echoed = time.monotonic()
        print(f"[{self.label}] {redact(text)}", file=self.terminal, flush=True)

    def isatty(self) -> bool:
        return False

    @functools.cached_property
    def provenance(self) -> dict[str, str | None]:
        """The version of the script and of `sources` (workflow_scripts.common.provenance.code_version)."""
        # Snakemake runs a copy of the script, and sets this to the script itself.
        return code_version(Path(sys.modules["__main__"].__file__), *self.sources)

    def record(
        self,
        key: str,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Writes the run record (workflow_scripts.common.records.write_record) to the output `record`, or to
        the only one.

        provenance: what there is to say besides this job's own, or instead of it.
        """
        write_record(
            getattr(self.output, "record", self.output[0]),
            key=key,
            experiment=experiment,
            name=name,
            params=params,
            provenance={**self.provenance, **(provenance or {})},
            **more,
        )


@contextlib.contextmanager
def running(snakemake: Any) -> Iterator[Job]:
    """Runs the body of a script. A failure ends the process with status 1 after one line on the terminal
    that says why, the end of the log, its path, and the command that runs just this job again."""
    _limit_threads(cpus(snakemake))
    shown = [value for value in snakemake.wildcards if value != getattr(snakemake.wildcards, "hash", None)]
    label, terminal = " ".join([snakemake.rule, *map(str, shown)]), sys.stderr
    if is_rank():
        yield Job(terminal, terminal, label, snakemake.output)  # who runs torchrun writes the log
        return
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", encoding="utf-8", errors="backslashreplace")
    log = Job(file, terminal, label, snakemake.output)
    try:
        # A job outlives a parent that alone was killed: its successor waits for it.
        with (
            only_one(Path(".snakemake/spd") / f"{_digest(snakemake.output[0])}.job", log.say),
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            with _live_curves(snakemake):
                yield log
            _note_slurm_job(path)
            write_hashes(
                hash_list(path),
                rule=snakemake.rule,
                outputs=[*snakemake.output, *map(str, log.undeclared)],
                inputs=snakemake.input,
            )
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        expected = isinstance(error, ValueError | OSError | RuntimeError | MemoryError)
        log.file.write(redact(traceback.format_exc()))
        log.file.flush()
        reason = str(error).strip() or type(error).__name__
        shown = (reason if expected else f"{type(error).__name__}: {reason}").splitlines()
        if len(shown) > REASON_LINES:
            shown = [
                *shown[: REASON_LINES - 1],
                f"... and {len(shown) - REASON_LINES + 1} lines more in the log",
            ]
        log.say("\n    ".join(["failed: " + shown[0], *shown[1:]]))
        if not expected:
            for line in path.read_text(encoding="utf-8").splitlines()[-TAIL_LINES:]:
                print(f"    {line}", file=terminal)
        print(f"    log: {path}\n    only this again: {_command(snakemake)}", file=terminal, flush=True)
        sys.exit(1)


def _note_slurm_job(log: Path) -> None:
    """Slurm's id of this job next to its log, for MLflow: a record holds nothing that differs between equal
    runs."""
    if "SLURM_JOB_ID" in os.environ:
        log.with_suffix(".slurm").write_text(os.environ["SLURM_JOB_ID"] + "\n")


def _live_curves(snakemake: Any) -> contextlib.AbstractContextManager[None]:
    """Sends a training's curves to the tracking server while it runs, where there is one."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None or snakemake.rule != "pretrain":
        return contextlib.nullcontext()
    # Here rather than in pretrain.py: the version of a training does not hang on how it is watched.
    from workflow_scripts.common.tracking import experiment_name
    from workflow_scripts.common.tracking_live import live

    record, run = Path(snakemake.output.record), snakemake.wildcards
    return live(
        uri,
        f"{record.with_suffix('.checkpoint')}.history.jsonl",
        experiment=experiment_name(record.parents[3].name, "backbones"),
        key=f"backbone/{run.pretraining}/seed{run.seed}",
        name=f"{run.pretraining} seed{run.seed}",
    )


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:16]


def cpus(snakemake: Any) -> int:
    """CPUs of this job. On a cluster `cpus_per_task` says it: `threads` is cut to the login node's cores."""
    return int(snakemake.resources.get("cpus_per_task", snakemake.threads))


def _command(snakemake: Any) -> str:
    """The command that makes just this job's output; `config` holds what the user gave on top."""
    given = dict(snakemake.config)
    preset = given.pop("preset", None)
    command = f"snakemake --cores all {shlex.quote(snakemake.output[0])}"
    command += f" --config {shlex.quote(f'preset={preset}')}" if preset else ""
    return command + (" (with this run's --configfile)" if given else "")


def _limit_threads(threads: int) -> None:
    # Before numpy, torch, numba or OpenCV are imported: each reads its variable once.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(threads)
    # numba's default layer and MKL's threads slow each other down several times.
    os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
