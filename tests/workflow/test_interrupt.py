"""Ctrl-C, as a terminal sends it: to every process of the run."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.workflow


def test_an_interrupted_run_is_quiet_and_goes_on(workspace, repository):
    target = "data/demo/tiny/visa.tar"
    # A shell starts what runs in its background deaf to Ctrl-C, and that is inherited.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(repository / "Snakefile")]
    # Enough images that the job cannot end between the look at its bar and the signal.
    (workspace.folder / "mine.yaml").write_text("demo_data: {visa_normal: 400}")
    command += ["--cores", "1", "--quiet", "rules", "--configfile", "mine.yaml", "--config", "preset=tiny"]
    command += ["--", target]
    log = workspace.folder / "output"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=workspace.folder, stdout=file, stderr=file, start_new_session=True
        )
        started = workspace.folder / "results/tiny/logs/demo_archive/tiny-visa.tar.log"
        for _ in range(1200):  # until the job draws: its log then has a bar
            if started.exists() and "image/s" in started.read_text() and process.poll() is None:
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) != 0
    output = log.read_text()
    assert "The same command goes on from there" in output
    for noise in ("Traceback", "KeyboardInterrupt", "CalledProcessError", "WorkflowError"):
        assert noise not in output, output
    assert workspace.temporary_files() == []
    done = subprocess.run(command, cwd=workspace.folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (workspace.folder / target).stat().st_size > 0
