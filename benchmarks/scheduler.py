"""What Snakemake itself costs before the first job: preset paper's dry run from nothing.

CPU time (user and system, children included): other load on the machine does not count in it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

from harness import ROOT, benchmark

COMMAND = [sys.executable, "-m", "snakemake", "--quiet", "rules", "-n", "-s", str(ROOT / "Snakefile")]


def dry_run(preset: str) -> tuple[float, float, float, int]:
    """CPU seconds, wall seconds, MiB at the peak, jobs."""
    # A Snakemake of the user's own profile would measure that profile.
    environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
    environment["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        begin = time.monotonic()
        child = subprocess.Popen(
            [*COMMAND, "--config", f"preset={preset}"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - begin
        log.seek(0)
        said = log.read()
    if child.returncode:
        raise RuntimeError(f"the dry run ended with status {child.returncode}\n{said[-2000:]}")
    total = [line.split()[1] for line in said.splitlines() if line.startswith("total")]
    return used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, int(total[-1])


def measure(options) -> str:
    runs = [dry_run(options.preset) for _ in range(options.repeats)]
    cpu, wall, peak, jobs = zip(*runs, strict=True)
    median = statistics.median(cpu)
    return f"""Dry run of preset {options.preset} from nothing, {jobs[0]:,} jobs: {median:.1f} s of CPU
time (median of {len(runs)}; {min(cpu):.1f} - {max(cpu):.1f}), {max(peak):.0f} MiB at its peak (least wall
time {min(wall):.0f} s). The bounds are 20 s and 2 GiB. Snakemake {version("snakemake")}."""


if __name__ == "__main__":
    sizes = {"preset": ("paper", "tiny"), "repeats": (3, 1)}
    benchmark(measure, "dry-run", "### Snakemake's own cost", sizes)
