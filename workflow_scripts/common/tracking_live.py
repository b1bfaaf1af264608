"""A training's curves on a tracking server while it runs.

`live(...)` starts a process of its own that reads the history in the making: the training neither imports
mlflow nor waits for the server, and a server that fails costs points, never the training.
`workflow_scripts.common.tracking.sync` completes the run afterwards.
"""

import contextlib
import json
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
GRACE = 30  # seconds for the last points when the training has ended


@contextlib.contextmanager
def live(uri: str | None, history: str | Path, *, experiment: str, key: str, name: str) -> Iterator[None]:
    """Sends the points of `history` to the server at `uri` while the body runs; only to an http(s) URI.

    history: the JSON lines in the making (`<checkpoint>.history.jsonl` of `spd.training`).
    experiment: its name in MLflow; key, name: those of the record that will be written.
    """
    if uri is None or not uri.startswith(("http://", "https://")):
        yield
        return
    about = {"history": str(history), "experiment": experiment, "key": key, "name": name}
    process = subprocess.Popen(
        [sys.executable, "-m", "workflow_scripts.common.tracking_live", json.dumps(about)],
        stdin=subprocess.PIPE,
        # The address may hold a password: not on the command line.
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "CUDA_VISIBLE_DEVICES": ""},
    )
    try:
        yield
    finally:
        process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Follower:
    """Logs each point of a history once, whatever was logged before and however often it is asked."""

    def __init__(self, uri: str, history: str | Path, *, experiment: str, key: str, name: str):
        self.uri, self.history = uri, Path(history)
        self.experiment, self.key, self.name = experiment, key, name
        self.client: Any = None
        self.run_id = ""
        self.sent: set[tuple[str, int]] = set()

    def send(self) -> int:
        """Number of points logged now. Raises what mlflow raises; the next call then asks the server again
        what it has."""
        if not self.history.exists():
            return 0
        from mlflow.entities import Metric

        if self.client is None:
            self._open()
        now = int(time.time() * 1000)
        points = [(key, value, step) for key, value, step in history_points(self.history)]
        new = [Metric(key, value, now, step) for key, value, step in points if (key, step) not in self.sent]
        try:
            for start in range(0, len(new), BATCH):
                self.client.log_batch(self.run_id, metrics=new[start : start + BATCH])
        except BaseException:
            self.client = None
            raise
        self.sent |= {(point.key, point.step) for point in new}
        return len(new)

    def _open(self) -> None:
        client = connect(self.uri)
        at = experiment(client, self.experiment)
        found = client.search_runs([at], f"tags.`{KEY}` = '{self.key}'", order_by=["start_time DESC"])
        unfinished = [run for run in found if LIVE in run.data.tags and CONTENT not in run.data.tags]
        if unfinished:  # continued after a preemption
            self.run_id = unfinished[0].info.run_id
            self.sent = {(key, step) for key, step, _ in logged(client, unfinished[0])}
        else:
            self.run_id = begin(client, at, self.key, self.name, int(time.time() * 1000), live=True)
            self.sent = set()
        self.client = client


def _main(about: dict[str, str]) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the training decides when to end
    # mlflow waits for minutes by default; the next look is in seconds.
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    follower = Follower(os.environ["MLFLOW_TRACKING_URI"], **about)
    silent = False
    ended = False
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], SECONDS)[0])  # readable: the training closed it
        try:
            follower.send()
        except Exception as error:
            if not silent:
                reason = redact(" ".join(str(error).split()))[:200]
                print(f"MLflow: no live curves for now ({reason}); the sync adds them later", file=sys.stderr)
            silent = True


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
