"""A Slurm of two nodes on this machine, and folders in which the profile runs the preset tiny on it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
BACKBONE = "results/tiny/backbones/simsiam/seed0.safetensors"
# Two cores run all of it: small jobs, and a look at the queue every few seconds instead of every 40.
SITE = {r"cpus_per_task: \d+": "cpus_per_task: 1", r"mem_mb: attempt \* \d+": "mem_mb: attempt * 2000"}
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "1"]


def shell(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def until(condition, what, seconds=600):
    """Waits for `condition()` to be true and returns what it returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s")


class Run:
    """One `snakemake --cores all --profile slurm` that goes on in the background."""

    def __init__(self, folder, arguments, environment):
        self.folder = folder
        self.log = folder / f"run{len(list(folder.glob('run*.log')))}.log"
        with self.log.open("w") as log:
            # A shell starts what runs in its background deaf to Ctrl-C, and that is inherited.
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", sys.executable, "-m", "snakemake", *arguments],
                cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self, seconds=1500):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"Snakemake still runs after {seconds} s:\n{self.said()[-4000:]}") from None

    def said(self):
        return self.log.read_text()

    def jobs(self):
        """Ids of the Slurm jobs it has submitted, in order."""
        return re.findall(r"SLURM jobid (\d+)", self.said())


class Workspace:
    """A copy of the repository's files whose profile has this cluster's values in its marked block."""

    def __init__(self, folder, **site):
        self.folder = folder
        files = shell("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY)
        for name in filter(None, files.split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)
        self.edit_site(SITE)

    def edit_site(self, changes):
        profile = self.folder / "slurm/config.yaml"
        before, start, rest = profile.read_text().partition("# --- your site")
        block, end, after = rest.partition("# -----------")
        for pattern, value in changes.items():
            block, count = re.subn(pattern, value, block)
            assert count, pattern
        profile.write_text(before + start + block + end + after)

    def copy(self, folder, changes=None):
        """The same with its data sets, corpus and history of runs, and no trained backbone."""
        shell("cp", "-a", str(self.folder), str(folder))
        copied = object.__new__(Workspace)
        copied.folder = folder
        shutil.rmtree(folder / "results/tiny/backbones")
        for log in folder.glob("run*.log"):
            log.unlink()
        copied.edit_site(changes or {})
        return copied

    def start(self, *arguments, overlay=None, **environment):
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(overlay or {}))
        command = [*arguments, "--cores", "all", "--profile", "slurm", *IMPATIENT]
        command += ["--configfile", "mine.yaml", "--config", "preset=tiny"]
        paths = [str(self.folder / "tests/slurm/hook"), str(self.folder)]
        return Run(self.folder, command, {
            **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **environment,
        })  # fmt: skip

    def train(self, *arguments, steps, seconds, compute=None, **environment):
        """Starts one training with steps that last `seconds` and leave a line each in steps.txt."""
        overlay = {
            "compute": {"device": "cpu", "gpus": 0, "grace_seconds": 1, **(compute or {})},
            # BatchNorm over few values multiplies rounding: gentle steps in float64 can be compared.
            "recipes": {
                "simsiam": {"steps": steps, "precision": "float64", "lr": 0.005, "lr_scaling": "none"}
            },
        }
        environment = {"SPD_TEST_STEPS": str(self.folder / "steps.txt"), **environment}
        return self.start(BACKBONE, *arguments, overlay=overlay, SPD_TEST_SECONDS=str(seconds), **environment)

    def logs(self):
        """What Slurm's jobs that failed have printed."""
        paths = sorted((self.folder / "results/slurm").rglob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in paths)

    def steps(self, rank=0):
        """(job id, step) of each step that a rank has begun, in order."""
        path = self.folder / "steps.txt"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        found = [line.split() for line in lines]
        return [(job, int(step)) for job, who, step in found if int(who) == rank]

    def hurry(self):
        """From now on steps take no longer than they need."""
        (self.folder / "steps.txt.fast").touch()

    def reach(self, step):
        """Waits until the training has begun a step."""
        until(lambda: any(at >= step for _, at in self.steps()), f"step {step} of {self.folder}")


def job(number):
    """What Slurm says of a job, as a dictionary."""
    fields = shell("scontrol", "show", "job", "--oneliner", number).split()
    return dict(field.split("=", 1) for field in fields if "=" in field)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    environment = {"LAB": str(tmp_path_factory.mktemp("lab")), **os.environ}
    environment |= {"CPUS": "16", "MEM_MB": "32000", "GPUS": "1"}

    def call(word):
        return shell(str(HERE / "lab.sh"), word, env=environment)

    try:
        call("start")
        yield call
    finally:
        call("stop")


@pytest.fixture(scope="session")
def tools():
    """What the tests share beside fixtures: pytest imports no module that lies beside them."""
    return {"Workspace": Workspace, "BACKBONE": BACKBONE, "shell": shell, "until": until, "job": job}
