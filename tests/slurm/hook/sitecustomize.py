"""Loaded by every Python of a test's jobs: makes trainings slow, counts their steps, and fails on request.

SPD_TEST_STEPS    file to which each training step appends `<job id> <rank> <step>`
SPD_TEST_SECONDS  seconds that each step is made to last, until the file <SPD_TEST_STEPS>.fast is there
SPD_TEST_ONCE     what goes wrong at step 3, once, as `<file that remembers it>=raise` or `=memory`
SPD_TEST_OFFLINE  refuse connections that leave the machine, inside jobs
"""

import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

PATCHED = "spd.training.loop"


def watched(draw):
    def draw_and_note(options, **which):
        line = f"{os.environ.get('SLURM_JOB_ID')} {os.environ.get('RANK', 0)} {which['step']}\n"
        with Path(os.environ["SPD_TEST_STEPS"]).open("a") as file:
            file.write(line)
        if not Path(os.environ["SPD_TEST_STEPS"] + ".fast").exists():
            time.sleep(float(os.environ.get("SPD_TEST_SECONDS", "0")))
        memory, _, what = os.environ.get("SPD_TEST_ONCE", "").partition("=")
        if what and which["step"] == 3 and not Path(memory).exists():
            Path(memory).touch()
            if what == "raise":
                raise RuntimeError("a failure on request")
            kept = b"x" * (2200 * 2**20)  # noqa: F841
            time.sleep(60)
        return draw(options, **which)

    return draw_and_note


class Patch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != PATCHED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            module.draw = watched(module.draw)

        spec.loader.exec_module = exec_module
        return spec


if "SPD_TEST_STEPS" in os.environ:
    sys.meta_path.insert(0, Patch())

if "SPD_TEST_OFFLINE" in os.environ and "SLURM_JOB_ID" in os.environ:
    import socket

    connect = socket.socket.connect

    def connect_nearby(self, address):
        if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1", "localhost")):
            raise OSError(f"offline: {address}")
        return connect(self, address)

    socket.socket.connect = connect_nearby
