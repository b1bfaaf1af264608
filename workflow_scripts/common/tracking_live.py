"""A training's curves on a tracking server while it runs.

`live(...)` starts a process of its own that reads the history in the making: the training neither imports
mlflow nor waits for the server, and a server that fails costs points, never the training.
`workflow_scripts.common.tracking.sync` completes the run afterwards.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.common.redaction import redact
from workflow_scripts.common.tracking import (
    BATCH,
    CONTENT,
    KEY,
    LIVE,
    PATIENCE,
    begin,
    connect,
    experiment,
    history_points,
    logged,
)

SECONDS = 5  # between two looks at the history
GRACE = 30  # seconds for the last points when the training has ended; then the process ends itself


@contextlib.contextmanager
def live(uri: str | None, history: str | Path, *, experiment: str, key: str, name: str) -> Iterator[None]:
    """Sends the points of `history` to the server at `uri` while the body runs; only to an http(s) URI.

    history: the JSON lines in the making (`<checkpoint>.history.jsonl` of `spd.training`).
    experiment: its name in MLflow; key, name: those of the record that will be written.
    """
    if uri is None or not uri.startswith(("http://", "https://")):
        yield
        return
    environment = {
        "MLFLOW_TRACKING_URI": uri,  # it may hold a password: not on the command line
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # mlflow's own retries take minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [
        sys.executable,
        "-m",
        "workflow_scripts.common.tracking_live",
        str(history),
        experiment,
        key,
        name,
    ]
    # At its end it closes the other's input, which tells it to end, and waits.
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | environment):
        yield


class Follower:
    """Logs each point of a history once, whatever was logged before and however often it is asked."""

    def __init__(self, uri: str, history: str | Path, experiment: str, key: str, name: str):
        self.uri, self.history = uri, Path(history)
        self.experiment, self.key, self.name = experiment, key, name
        self.run_id: str | None = None
        self.sent: set[tuple[str, int]] = set()

    def send(self) -> int:
        """Number of points logged now. Raises what mlflow raises; the next call then asks the server what it
        has."""
        if not self.history.exists():
            return 0
        from mlflow.entities import Metric

        client, now = connect(self.uri), int(time.time() * 1000)
        run_id, self.run_id = self.run_id or self._open(client, now), None
        points = [Metric(key, value, now, step) for key, value, step in history_points(self.history)]
        new = [point for point in points if (point.key, point.step) not in self.sent]
        for start in range(0, len(new), BATCH):
            client.log_batch(run_id, metrics=new[start : start + BATCH])
        self.sent |= {(point.key, point.step) for point in new}
        self.run_id = run_id
        return len(new)

    def _open(self, client: Any, now: int) -> str:
        at = experiment(client, self.experiment)
        for run in client.search_runs([at], f"tags.`{KEY}` = '{self.key}'"):
            if LIVE in run.data.tags and CONTENT not in run.data.tags:  # continued after a preemption
                self.sent = {(key, step) for key, _, step in logged(client, run)}
                return run.info.run_id
        self.sent = set()
        return begin(client, at, self.key, self.name, now, live=True)


def _main(about: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the training decides when to end
    follower = Follower(os.environ["MLFLOW_TRACKING_URI"], *about)
    ended = silent = False
    while not ended:
        if ended := bool(select.select([sys.stdin], [], [], SECONDS)[0]):  # readable: the training closed it
            signal.alarm(GRACE)
        try:
            follower.send()
        except Exception as error:
            if not silent:
                reason = redact(" ".join(str(error).split()))[:200]
                print(f"MLflow: no live curves for now ({reason}); the sync adds them later", file=sys.stderr)
            silent = True


if __name__ == "__main__":
    _main(sys.argv[1:])
