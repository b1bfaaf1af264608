"""The tests of hostile input, in a process of their own.

The judge forks, and a child of a process with threads (torch's and numba's, once other tests have run) may
wait forever for a lock that no thread of its own will free.
"""

import os
import subprocess
import sys
from pathlib import Path


def test_hostile_input_in_a_process_of_its_own():
    file = Path(__file__).with_name("in_own_process.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(file)]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "." * 5 in done.stdout
