"""Ctrl-C, as a terminal sends it: to every process of the run."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
import yaml

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


class Terminal:
    """A command in a terminal of its own, in the foreground, as a person starts it."""

    def __init__(self, command, folder):
        self.process, self.handle = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvp(command[0], command)
        self.said = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while part := os.read(self.handle, 65536):
                self.said += part
        except OSError:  # the terminal's other end is closed
            pass

    def press_ctrl_c(self):
        os.write(self.handle, b"\x03")

    def left(self):
        """Exit status of the command, once it has ended."""
        status = os.waitpid(self.process, 0)[1]
        self.reader.join(10)
        os.close(self.handle)
        return os.waitstatus_to_exitcode(status)


def wait_for(pattern, folder, seconds=300):
    """The match of a pattern in the log of the only training below `folder`."""
    for _ in range(10 * seconds):
        for log in (folder / "results/tiny/logs/pretrain").rglob("*.log"):
            if found := re.search(pattern, log.read_text()):
                return found
        time.sleep(0.1)
    raise AssertionError(f"no training said {pattern}")


def test_ctrl_c_saves_a_training_and_the_next_start_goes_on_from_its_step(workspace, repository):
    endless = {"recipes": {"simsiam": {"steps": 100_000, "log_interval": 1, "checkpoint_minutes": 1000}}}
    rows = {"tables": {"padim_1class": {"rows": ["simsiam"]}, "custom": None}}
    (workspace.folder / "mine.yaml").write_text(yaml.safe_dump({**endless, **rows}))
    command = ["env", "--default-signal=INT", "OMP_NUM_THREADS=1", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(repository / "Snakefile"), "--cores", "1", "--quiet", "rules"]
    command += ["--until", "pretrain", "--configfile", "mine.yaml", "--config", "preset=tiny"]
    command += ["--", "padim_1class"]

    first = Terminal(command, workspace.folder)
    wait_for(r"simsiam on \S+ starts: 100000 steps", workspace.folder)
    wait_for(r"\b[1-9]\d*/100000 \[", workspace.folder)  # the bar: steps were made
    first.press_ctrl_c()
    assert first.left() != 0
    said = first.said.decode()
    assert "trainings save first" in said
    for noise in ("Traceback", "CalledProcessError", "failed"):
        assert noise not in said, said
    assert list(workspace.folder.glob("results/tiny/**/*.checkpoint"))

    second = Terminal(command, workspace.folder)
    step = int(wait_for(r"simsiam on \S+ continues at step (\d+): 100000 steps", workspace.folder)[1])
    wait_for(r"\b[1-9]\d*/100000 \[", workspace.folder)
    second.press_ctrl_c()
    assert second.left() != 0
    assert step > 0
