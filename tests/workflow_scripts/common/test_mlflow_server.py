"""The server that `make ui` starts: who can reach it, and under which names."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

MAKEFILE = Path(__file__).resolve().parents[3] / "Makefile"


def arguments():
    """What `make ui` gives to `mlflow server`, without port and store."""
    text = re.sub(r"\\\n", " ", MAKEFILE.read_text())
    line = next(line for line in text.splitlines() if re.search(r"mlflow server\b", line))
    given = line.partition("mlflow server")[2].split()
    for option in ("--port", "--backend-store-uri"):
        at = given.index(option)
        del given[at : at + 2]
    return given


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", *arguments(), "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        command,
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    end = time.monotonic() + 400
    try:
        while True:
            assert server.poll() is None, (folder / "log").read_text()
            try:
                if ask(port, "/health")[0] == 200:
                    break
            except OSError:
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.5)
        yield port
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def ask(port, path, host=None, method="GET", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", **(headers or {}), **({"Host": host} if host else {})}
    connection.request(method, path, body="{}" if method == "POST" else None, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode(errors="replace")


def test_it_listens_on_loopback_alone(port):
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_foreign_host_header_is_refused(port):
    path = "/api/2.0/mlflow/experiments/search"
    for host in ("evil.example.com", f"evil.example.com:{port}", "127.0.0.1.evil.example.com"):
        status, text = ask(port, path, host, "POST")
        assert status == 403, (host, status, text)
    status, text = ask(port, path, f"127.0.0.1:{port}", "POST")
    assert status != 403, text


def test_a_page_of_another_origin_may_not_write(port):
    status, _ = ask(
        port,
        "/api/2.0/mlflow/experiments/create",
        method="POST",
        headers={"Origin": "https://evil.example.com"},
    )
    assert status == 403
