"""requirements/audit.py against a database of our own, and against none; hashes and licences."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parent.parent / "requirements/audit.py"


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def database(monkeypatch):
    """A function that starts a server which answers each query with `answer(query)`."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
                body = json.dumps(answer(queries)).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{servers[-1].server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_database_out_of_reach_is_no_pass(audit, monkeypatch, capsys):
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:9")
    assert audit.main() == 2
    assert "NOT AUDITED" in capsys.readouterr().out


def test_an_answer_that_is_none_is_no_pass(audit, database, capsys):
    database(lambda queries: {"results": [{}]})
    assert audit.main() == 2
    assert "NOT AUDITED" in capsys.readouterr().out


def test_known_vulnerabilities_are_named(audit, database, capsys):
    database(
        lambda queries: {
            "results": [
                {"vulns": [{"id": "OSV-1"}]} if query["package"]["name"] == "torch" else {}
                for query in queries
            ]
        }
    )
    assert audit.main() == 1
    assert "torch 2.14.1: https://osv.dev/OSV-1" in capsys.readouterr().out


def test_none_known_passes_and_every_locked_package_was_asked_for(audit, database, capsys):
    asked = []
    database(lambda queries: asked.extend(queries) or {"results": [{} for _ in queries]})
    assert audit.main() == 0
    assert {"snakemake", "torch", "mlflow"} <= {query["package"]["name"] for query in asked}
    assert f"{len(asked)} packages asked for, 0 with known" in capsys.readouterr().out


def test_every_locked_package_has_a_hash():
    for lock in FILE.parent.glob("*.txt"):
        lines = [line for line in lock.read_text().splitlines() if "==" in line]
        assert lines
        assert all("--hash=sha256:" in line for line in lines), lock


def test_the_licence_of_every_locked_package_is_listed(audit):
    rows = [line.split(" | ") for line in (FILE.parent / "licences.md").read_text().splitlines()]
    listed = {(row[0].removeprefix("| "), row[1]): row[2] for row in rows if len(row) == 4}
    assert set(audit.locked()) == {key for key in listed if key != ("package", "version")}
    assert all(listed.values())
