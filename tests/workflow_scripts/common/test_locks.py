import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from workflow_scripts.common import locks

HOLDER = """
import sys, time
from workflow_scripts.common import locks
held = locks.acquire(sys.argv[1], preset="tiny")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """(path, process): another process that holds the lock."""
    path = tmp_path / "a.run"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait()


def test_a_live_owner_is_respected_and_named(holder):
    path, process = holder
    with pytest.raises(locks.Held, match=f"process {process.pid} on ") as held:
        locks.acquire(path)
    assert held.value.owner["preset"] == "tiny"
    about, alive = locks.owner(path)
    assert alive
    assert about["pid"] == process.pid


def test_a_killed_owner_leaves_nothing_locked_but_its_name(holder):
    path, process = holder
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    about, alive = locks.owner(path)
    assert not alive
    assert about["pid"] == process.pid
    with locks.acquire(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_children_do_not_inherit_it(tmp_path):
    held = locks.acquire(tmp_path / "a.run")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        held.close()
        locks.acquire(tmp_path / "a.run").close()
    finally:
        child.kill()
        child.wait()


def test_only_one_at_a_time_and_no_file_left(tmp_path):
    inside, most, said = 0, 0, []

    def body():
        nonlocal inside, most
        for _ in range(2):
            with locks.only_one(tmp_path / "job", said.append):
                inside += 1
                most = max(most, inside)
                time.sleep(0.5)  # longer than a taker is patient before it says that it waits
                inside -= 1

    threads = [threading.Thread(target=body) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert said
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert locks.acquire(tmp_path / "a.run") is None
    with locks.only_one(tmp_path / "job"):
        pass
    assert locks.owner(tmp_path / "a.run") is None


def test_no_owner_where_nobody_was(tmp_path):
    assert locks.owner(tmp_path / "none.run") is None
