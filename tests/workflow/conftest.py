"""Runs Snakemake on the preset tiny in folders of their own, and counts the jobs that it plans."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]

# What `make demo` runs Snakemake with.
FLAGS = re.search(
    r"snakemake --cores \$\(CORES\) (.*) --config", (REPOSITORY / "Makefile").read_text(encoding="utf-8")
)[1].split()


# None of it may reach results, logs or the terminal: tests/workflow/test_trust.py.
SECRET = "hunter2-e5c1a7d0"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "GITHUB_TOKEN": SECRET,
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "HTTPS_PROXY": f"http://me:{SECRET}@127.0.0.1:9",
}


class Workspace:
    """A folder in which Snakemake runs this repository's workflow."""

    def __init__(self, folder):
        self.folder, self.snakefile = folder, REPOSITORY / "Snakefile"

    def snakemake(self, *arguments, config=None, preset="tiny", environment=None):
        """A finished run of Snakemake; `config` is the user's own file, the overlay of one folder if None."""
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(_overlay() if config is None else config))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile)]
        command += ["--directory", str(self.folder), "--cores", "2", *arguments]
        command += ["--configfile", "mine.yaml", "--config", f"preset={preset}"]
        base = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        environment = {**base, "OMP_NUM_THREADS": "1", **(environment or {})}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=environment, timeout=900
        )

    def plan(self, *arguments, **more):
        """Output of a dry run."""
        done = self.snakemake("--dry-run", *arguments, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments, **more):
        """rule -> number of jobs that a dry run announces."""
        return _jobs(self.plan(*arguments, **more))

    def copy(self, place):
        """A workspace of the same state, for a test that changes it; `place`: beside this one, or a path."""
        return Workspace(Path(shutil.copytree(self.folder, self.folder.parent / place, symlinks=True)))

    def temporary_files(self):
        files = (path for path in (self.folder / "results").rglob("*") if path.is_file())
        own = ".snakemake_timestamp"  # Snakemake's, in each folder that is an output
        return [p for p in files if p.suffix == ".tmp" or (p.name.startswith(".") and p.name != own)]


def _overlay(**changes):
    """The user's own file on top of tiny: a folder of images of their own, judged in `custom`.

    changes: `a__b=value` sets the key b of a.
    """
    mine = {
        "datasets": {"mine": {"name": "Mine", "reader": "mvtec", "root": "photographs", "objects": ["nut"]}},
        "tables": {"custom": {"datasets": ["mine"], "rows": ["lite0_random", "simsiam_eta0.5"]}},
    }
    for path, value in changes.items():
        at = mine
        *parents, last = path.split("__")
        for key in parents:
            at = at.setdefault(key, {})
        at[last] = value
    return mine


def _jobs(output):
    """The counts of Snakemake's `Job stats` table, without the rules that only collect files."""
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", output, re.DOTALL)
    if table is None:
        assert "Nothing to be done" in output, output
        return {}
    counts = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
    return {name: count for name, count in counts.items() if name not in ("all", "tables")}


def _photograph(path, seed, spot=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(90, 120, (48, 48, 3), dtype=np.uint8)
    if spot:
        pixels[10:20, 10:20] = 230
    Image.fromarray(pixels).save(path)


def _write_photographs(root):
    for i in range(6):
        _photograph(root / f"nut/train/good/{i:03}.png", i)
    for i in range(3):
        _photograph(root / f"nut/test/good/{i:03}.png", 10 + i)
        _photograph(root / f"nut/test/spot/{i:03}.png", 20 + i, spot=True)
        mask = np.zeros((48, 48), np.uint8)
        mask[10:20, 10:20] = 255
        (root / "nut/ground_truth/spot").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / f"nut/ground_truth/spot/{i:03}_mask.png")


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def secret():
    """A value that variables of the environment had in `built`."""
    return SECRET


@pytest.fixture
def copied(built, tmp_path):
    """A copy of `built` for a test that alters it."""
    return built.copy(tmp_path / "copy")


@pytest.fixture(scope="session")
def overlay():
    return _overlay


@pytest.fixture(scope="session")
def jobs():
    return _jobs


@pytest.fixture(scope="session")
def photograph():
    """`photograph(path, seed, spot=False)` writes a small image, with a bright spot or without."""
    return _photograph


@pytest.fixture(scope="session")
def write_photographs():
    """`write_photographs(root)` writes one object of such images in MVTec-AD's layout."""
    return _write_photographs


@pytest.fixture
def workspace(tmp_path):
    """An empty workspace."""
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The workspace after one complete run, whose output is `built.output`; tests leave it as it was."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    _write_photographs(workspace.folder / "photographs")
    done = workspace.snakemake(*FLAGS, environment=SECRETS)
    workspace.output = done.stdout + done.stderr
    assert done.returncode == 0, workspace.output
    return workspace
