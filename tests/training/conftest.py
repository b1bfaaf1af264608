import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def runs():
    """The module small_runs.py, which workers in other processes import too."""
    spec = importlib.util.spec_from_file_location("small_runs", HERE / "small_runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def worker():
    """Starts worker.py in a process of its own, on one thread: `worker(*arguments, **environment)`."""

    def start(*arguments, **environment):
        return subprocess.Popen(
            [sys.executable, HERE / "worker.py", *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start
