"""Faults of the machine under a run: no room on the disk, results that cannot be written, clocks that jump,
two runs at once, a killed run's lock; clear errors, nothing lost, recovery by the same command."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "drills"))

from runs import contents, kill, leftovers, start, started

from workflow_scripts.common.verify import main

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).resolve().parent.parent
# A few jobs without torch: archive, unpacked folder, manifest, images.
# Clocks are set, by hand or by NTP; the monotonic clock never is.
FAKED = ("faketime", "--exclude-monotonic", "-f")
TARGET = "results/tiny/images/mvtec/1cls/demo128/all.safetensors"


def run(folder, *arguments, prefix=(), target=TARGET, environment=None):
    command = [*prefix, sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "1", "--rerun-incomplete", "--config", "preset=tiny"]
    command += [*arguments, "--", target]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder after an undisturbed run, to be copied."""
    folder = tmp_path_factory.mktemp("sound")
    status, output = run(folder)
    assert status == 0, output
    return folder


def same(folder, sound):
    return contents(folder / "results/tiny") == contents(sound / "results/tiny")


@pytest.fixture
def mounted(tmp_path):
    """Mounts by calling `mount` with the fixture's value; skips where that is not allowed."""
    folders = []

    def mount(folder, *arguments):
        done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
        folders.append(folder)

    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    yield mount
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", str(folder)])


def test_a_full_disk_is_said_and_a_larger_one_is_all_it_takes(tmp_path, mounted, sound):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted(folder, "-t", "tmpfs", "-o", "size=700k", "none")
    status, output = run(folder)
    assert status != 0
    assert "No space left on device" in output or "the disk has" in output, output
    assert "Traceback" not in output
    assert "results/tiny/logs/" in output
    assert [path for path in leftovers(folder) if not path.startswith(".snakemake")] == []
    subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)
    status, output = run(folder)
    assert status == 0, output
    assert same(folder, sound)
    assert leftovers(folder) == []


def test_a_read_only_folder_is_said_and_nothing_is_lost(tmp_path, mounted, sound):
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder, symlinks=True)
    before = contents(folder / "results/tiny")
    mounted(folder / "results", "--bind", str(folder / "results"))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder / "results")], check=True)
    for arguments, target in (
        (("--forcerun", "images"), TARGET),
        ((), "results/tiny/manifests/visa/1cls.csv"),
    ):
        status, output = run(folder, *arguments, target=target)
        assert status != 0
        # Snakemake names the path in the line below.
        assert re.search(r"(rite-protected|Read-only file system).*\n?.*results/tiny/\S+", output), output
    assert contents(folder / "results/tiny") == before
    subprocess.run(["umount", str(folder / "results")], check=True)
    status, output = run(folder, "--forcerun", "images")
    assert status == 0, output
    assert same(folder, sound)


@pytest.mark.parametrize("offsets", [("-3d", "+2d"), ("+40d", "-1d")])
def test_a_jumping_clock_changes_no_result(tmp_path, sound, offsets):
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (apt-get install faketime)")
    if shutil.which("scontrol") is not None:
        # Snakemake's Slurm plugin asks it at each start and may sleep meanwhile: OSError under libfaketime.
        pytest.skip("libfaketime breaks time.sleep, which Snakemake calls where Slurm is installed")
    folder = tmp_path / "clock"
    folder.mkdir()
    first, second = offsets
    for offset, target in ((first, "results/tiny/manifests/mvtec/1cls.csv"), (second, TARGET)):
        status, output = run(folder, prefix=(*FAKED, offset), target=target)
        # Snakemake stops where an output would be older than its input, and says what it is about.
        assert status == 0 or "could indicate a clock skew problem" in output, output
    for path in [*(folder / "results").rglob("*"), *(folder / "data").rglob("*")]:
        if path.stat().st_mtime > time.time():
            os.utime(path)
    status, output = run(folder)
    assert status == 0, output
    assert same(folder, sound)
    assert leftovers(folder) == []


def test_files_of_the_future_are_read_and_replaced(tmp_path, sound):
    folder = tmp_path / "future"
    shutil.copytree(sound, folder, symlinks=True)
    ahead = time.time() + 86_400
    os.utime(folder / "results/tiny/manifests/mvtec/1cls.csv", (ahead, ahead))
    status, output = run(folder)
    assert status == 0, output
    assert same(folder, sound)


def test_a_killed_run_leaves_no_lock(tmp_path, sound):
    folder, log = tmp_path / "killed", tmp_path / "log"
    process = start(REPOSITORY, folder, "tiny", TARGET, log=log, cores=1)
    while not list((folder / ".snakemake/locks").glob("*")) or "rule demo_archive:" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    kill(process, folder)
    assert list((folder / ".snakemake/locks").iterdir())
    status, output = run(folder)
    assert status == 0, output
    assert "A killed run had left this folder locked; unlocked." in output
    assert same(folder, sound)
    assert leftovers(folder) == []


def test_of_two_runs_started_at_once_one_does_the_work(tmp_path, sound):
    folder = tmp_path / "two"
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    processes = [start(REPOSITORY, folder, "tiny", TARGET, log=log, cores=1) for log in logs]
    for process in processes:
        process.wait(600)
    text = [log.read_text() for log in logs]
    assert any(process.returncode == 0 for process in processes), text
    # The other was refused, or came when all was done; each job ran once.
    jobs = [started(log)[0] for log in logs]
    assert sum(rules.count("images") for rules in jobs) == 1 and [] in jobs, jobs
    for process, one in zip(processes, text, strict=True):
        if process.returncode:
            assert "is making it; wait for it" in one or "Locked: process" in one or "cannot be locked" in one
    assert same(folder, sound)
    assert leftovers(folder) == []


def test_a_run_that_is_under_way_is_respected(tmp_path, sound):
    folder, logs = tmp_path / "two", [tmp_path / "a.log", tmp_path / "b.log", tmp_path / "c.log"]
    first = start(REPOSITORY, folder, "tiny", TARGET, log=logs[0], cores=1)
    while not started(logs[0])[0]:
        assert first.poll() is None, logs[0].read_text()
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)  # alive, however long the others take to start
    try:
        locked = sorted((folder / ".snakemake/locks").iterdir())
        assert locked
        for log in logs[1:]:  # what the second leaves behind must not mislead a third
            assert start(REPOSITORY, folder, "tiny", TARGET, log=log, cores=1).wait(300) != 0
            said = log.read_text()
            assert f"Locked: process {first.pid} on " in said, said
            assert "unlocked." not in said and started(log)[0] == []
            assert sorted((folder / ".snakemake/locks").iterdir()) == locked
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert first.wait(600) == 0, logs[0].read_text()
    assert same(folder, sound)
    assert leftovers(folder) == []


def test_a_live_run_is_respected_even_where_snakemakes_own_lock_is_gone(tmp_path, sound):
    folder = tmp_path / "live"
    shutil.copytree(sound, folder, symlinks=True)
    (folder / TARGET).unlink()
    hold = "import sys, time; from workflow_scripts.common import locks; "
    hold += "held = locks.acquire(sys.argv[1], preset='tiny'); "
    hold += "print('held', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", hold, str(folder / ".snakemake/spd/tiny.run")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        assert holder.stdout.readline() == "held\n"
        status, output = run(folder)
        assert status != 0
        assert f"results/tiny: process {holder.pid} on " in output
        assert not (folder / TARGET).exists()
        status, output = run(folder, "--dry-run")  # looking is allowed
        assert status == 0, output
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    status, output = run(folder)
    assert status == 0, output
    assert same(folder, sound)


def test_what_a_run_wrote_verifies_until_it_is_altered(tmp_path, sound, monkeypatch, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder, symlinks=True)
    monkeypatch.chdir(folder)
    assert main(["results/tiny"]) == 0, capsys.readouterr().out
    manifest = Path("results/tiny/manifests/mvtec/1cls.csv")
    manifest.write_text(manifest.read_text().replace("train/good/001", "train/good/002", 1))
    images = bytearray(Path(TARGET).read_bytes())
    images[-1] ^= 1
    Path(TARGET).write_bytes(images)
    assert main(["results/tiny"]) == 1
    named = {
        line.split(": ")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("altered")
    }
    assert named == {str(manifest), TARGET}


def test_no_secret_of_the_environment_reaches_results_or_logs(tmp_path):
    secret = "hunter2-e5c1a7d0"
    status, output = run(
        tmp_path,
        environment={
            "AWS_SECRET_ACCESS_KEY": secret,
            "GITHUB_TOKEN": secret,
            "MLFLOW_TRACKING_PASSWORD": secret,
            "MLFLOW_TRACKING_URI": f"https://me:{secret}@example.com",
        },
    )
    assert status == 0, output
    assert secret not in output
    holding = [
        path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert holding == []
