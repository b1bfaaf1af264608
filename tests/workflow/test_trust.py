"""A complete run: what `make verify` says of it, whole and altered, and what it holds of the environment."""

import re

import pytest

from workflow_scripts.common.verify import main

pytestmark = pytest.mark.workflow


def altered(capsys):
    """Path -> what `verify` says of it."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("altered: ")]
    return {line.split(": ")[1]: line for line in lines}


@pytest.fixture
def inside(copied, monkeypatch):
    monkeypatch.chdir(copied.folder)
    return copied.folder / "results/tiny"


def test_a_complete_run_verifies(inside, capsys):
    assert main(["results/tiny"]) == 0, capsys.readouterr().out


def test_a_flipped_digit_of_a_table_is_named(inside, capsys):
    table = inside / "tables/padim_1class.csv"
    text = table.read_text()
    number = re.search(r"classification,AU-ROC,(\d+\.?\d*)", text)
    at = number.start(1)
    digit = str((int(text[at]) + 1) % 10)
    table.write_text(text[:at] + digit + text[at + 1 :])
    assert main(["results/tiny"]) == 1
    assert list(altered(capsys)) == ["results/tiny/tables/padim_1class.csv"]


def test_swapped_checkpoints_are_named_with_cells_of_theirs(inside, capsys):
    first, second = (inside / f"backbones/{name}/seed0.safetensors" for name in ("simsiam", "simsiam_spd"))
    away = first.with_suffix(".away")
    first.rename(away)
    second.rename(first)
    away.rename(second)
    assert main(["results/tiny"]) == 1
    assert set(altered(capsys)) == {
        f"results/tiny/backbones/{name}/seed0.safetensors" for name in ("simsiam", "simsiam_spd")
    }


def test_no_secret_of_the_environment_is_in_results_logs_or_output(built, secret):
    assert secret not in built.output
    files = [path for path in built.folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_the_password_of_a_server_out_of_reach_is_not_shown(copied, secret):
    server = {
        "MLFLOW_TRACKING_URI": f"http://me:{secret}@127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    }
    done = copied.snakemake("mlflow_sync", environment=server)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "http://***@127.0.0.1:9" in output, output
    assert secret not in output
    log = (copied.folder / "results/tiny/logs/mlflow_sync.log").read_text()
    assert "***@127.0.0.1:9" in log
    assert secret not in log
