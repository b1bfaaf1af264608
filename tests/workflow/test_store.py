"""MLflow's store: filled again when it is missing or another, and shown to this machine's own pages alone."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow


def test_a_missing_or_another_store_is_filled(built):
    database = built.folder / "results/tiny/mlflow/mlflow.db"
    away = built.folder / "mlflow.db.away"
    database.rename(away)
    try:
        assert built.planned() == {"mlflow_sync": 1}
    finally:
        away.rename(database)
    server = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    assert built.planned(environment=server) == {"mlflow_sync": 1}
    assert built.planned() == {}


def test_runs_hold_what_a_person_wants_to_look_at(built):
    artifacts = built.folder / "results/tiny/mlflow/artifacts"

    def named(pattern):
        return {path.name for path in artifacts.glob(f"*/artifacts/{pattern}")}

    assert named("samples of views/*") == {"simsiam.png", "simsiam_spd.png", "simsiam_eta0.5.png"}
    assert "1cls-PaDiM-demo-simsiam_spd.png" in named("heat maps/*/*")
    assert {"config.yaml", "environment.txt", "padim_1class.csv"} <= named("*")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listening(port):
    """Addresses on which this machine listens at a TCP port, as /proc writes them (hexadecimal)."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state = line.split()[:4]
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


def status(port, path, **headers):
    """Status of a POST with these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body="{}", headers={"Content-Type": "application/json", **headers})
    return connection.getresponse().status


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc/net/tcp")
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_ui_serves_this_machine_alone(built, repository):
    port, venv = free_port(), Path(sys.executable).parent.parent
    command = ["make", "-f", str(repository / "Makefile"), "ui", "PRESET=tiny", f"PORT={port}"]
    command += [f"VENV={venv}", "-o", f"{venv}/.demo"]  # -o: what is installed stays as it is
    log = (built.folder / "ui.log").open("w")
    process = subprocess.Popen(
        command, cwd=built.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        answer = None
        for _ in range(600):
            assert process.poll() is None, (built.folder / "ui.log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
                    answer = response.read()
                break
            except OSError:
                time.sleep(0.5)
        assert answer == b"OK"
        assert listening(port) == {"0100007F"}  # 127.0.0.1
        api = "/api/2.0/mlflow/experiments"
        assert status(port, f"{api}/search", Host=f"127.0.0.1:{port}") != 403
        for host in ("evil.example.com", f"evil.example.com:{port}", "127.0.0.1.evil.example.com"):
            assert status(port, f"{api}/search", Host=host) == 403, host
        assert status(port, f"{api}/create", Origin="https://evil.example.com") == 403
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        log.close()
