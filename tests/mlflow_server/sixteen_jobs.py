"""16 jobs log their curves at once to an MLflow server on PostgreSQL; then every point is asked for.

make test-mlflow-server          root, Debian: PostgreSQL's server runs as its user `postgres`

Each job is a process of its own that writes a history as a training does, under
`workflow_scripts.common.tracking_live.live`, and then a run record. Afterwards a sync completes the runs.
Prints what was found as Markdown; `--write` puts it into docs/mlflow.md.
"""

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from workflow_scripts.common import records, tracking
from workflow_scripts.common.tracking_live import live

# The pause between two steps, in seconds, leaves 16 followers time to look often.
JOBS, STEPS, PAUSE = 16, 300, 0.3
PRESET = "server"
PAGE = Path(__file__).resolve().parents[2] / "docs/mlflow.md"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def loss(job, step):
    return 1 / (step + job + 1)


def history_of(folder, job):
    return folder / f"{job}.history.jsonl"


def train(together, job, folder, uri):
    history = history_of(folder, job)
    together.wait()
    about = {"experiment": tracking.experiment_name(PRESET, "backbones"), "key": f"backbone/{job}"}
    with live(uri, history, name=f"job {job}", **about):
        for step in range(1, STEPS + 1):
            with history.open("a") as file:
                file.write(json.dumps({"step": step, "loss": loss(job, step)}) + "\n")
            time.sleep(PAUSE)
    records.write_record(
        folder / f"{job}.json",
        key=about["key"],
        experiment="backbones",
        name=f"job {job}",
        params={"job": job},
        metrics={"final/loss": loss(job, STEPS)},
        provenance={},
        history=str(history),
    )


def at_once(calls):
    """Runs functions in processes of their own, which wait for the last of them before they begin."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(len(calls))
    processes = [context.Process(target=call, args=(together, *arguments)) for call, *arguments in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert not any(process.exitcode for process in processes), [p.exitcode for p in processes]


def points(uri):
    """key -> list of curves, one a run; and the number of runs that were misfiled under Default."""
    client = tracking.connect(uri)
    found = {}
    at = client.get_experiment_by_name(tracking.experiment_name(PRESET, "backbones")).experiment_id
    for run in client.search_runs([at]):
        history = client.get_metric_history(run.info.run_id, "train/loss")
        found.setdefault(run.data.tags[tracking.KEY], []).append([(p.step, p.value) for p in history])
    return found, len(client.search_runs(["0"]))


def judged(found):
    """(runs, points, points twice, points lost)"""
    curves = [curve for runs in found.values() for curve in runs]
    there = sum(len(set(curve)) for curve in curves)
    expected = {(f"backbone/{j}", s, loss(j, s)) for j in range(JOBS) for s in range(1, STEPS + 1)}
    got = {(key, *point) for key, runs in found.items() for curve in runs for point in curve}
    assert not got - expected, "points that nobody logged"
    return len(curves), there, sum(map(len, curves)) - there, len(expected - got)


def postgresql(folder, port):
    """Starts a server of its own below `folder`; returns what ends it."""
    data = folder / "postgresql"
    data.mkdir()
    shutil.chown(data, "postgres")
    folder.chmod(0o755)
    as_postgres = ["runuser", "-u", "postgres", "--", f"{BINARIES[-1]}/"]

    def call(program, *arguments):
        command = [*as_postgres[:-1], as_postgres[-1] + program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    call("initdb", "-D", str(data), "--auth=trust", "--encoding=UTF8")
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1"
    call("pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
    call("createdb", "-h", "127.0.0.1", "-p", str(port), "mlflow")
    return lambda: call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--write", action="store_true")
    write = options.parse_args().write
    if not BINARIES or shutil.which("runuser") is None:
        sys.exit("PostgreSQL's server is not here: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database, web = free_port(), free_port()
        stop = postgresql(folder, database)
        uri = f"http://127.0.0.1:{web}"
        log = (folder / "server.log").open("wb")
        store = f"postgresql://postgres@127.0.0.1:{database}/mlflow"
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(web)),
                *("--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")),
            ],
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + 400
            while True:
                assert server.poll() is None and time.monotonic() < end, (folder / "server.log").read_text()
                try:
                    urllib.request.urlopen(f"{uri}/health", timeout=10)
                    break
                except OSError:
                    time.sleep(1)
            at_once([(train, job, folder, uri) for job in range(JOBS)])
            after_live, _ = points(uri)
            paths = [folder / f"{job}.json" for job in range(JOBS)]
            tracking.sync(paths, folder / "synced", preset=PRESET, tracking_uri=uri)
            after_sync, misfiled = points(uri)
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            stop()
    rows = [("live", judged(after_live)), ("after the sync", judged(after_sync))]
    text = "\n".join(
        [
            f"{JOBS} jobs at once, {STEPS} points each, PostgreSQL {BINARIES[-1].parent.name}, one MLflow "
            f"server, a 2-core CPU machine (`make test-mlflow-server`). Runs in Default: {misfiled}.",
            "",
            "| when | runs | points | twice | lost |",
            "|---|--:|--:|--:|--:|",
            *(f"| {when} | {' | '.join(map(str, numbers))} |" for when, numbers in rows),
        ]
    )
    print(text)
    assert judged(after_sync) == (JOBS, JOBS * STEPS, 0, 0) and misfiled == 0
    if write:
        page = PAGE.read_text(encoding="utf-8")
        marks = r"(?<=<!-- server -->\n).*?(?=<!-- /server -->)"
        PAGE.write_text(re.sub(marks, lambda _: text + "\n", page, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
