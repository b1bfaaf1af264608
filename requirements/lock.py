"""Writes the lock files that `make` installs on x86_64 Linux with Python 3.11: exact versions, with hashes.

    python requirements/lock.py            (run in a fresh virtual environment; `make lock` does)

pip resolves the extras of pyproject.toml together with the pins below; what it chose is written with
the SHA-256 of each file, and no address, so that any index or mirror can serve it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = ["torch==2.14.1", "torchvision==0.29.1"]
LOCKS = {
    "demo.txt": "cpu,demo",
    "test.txt": "cpu,demo,dev",
    "docs.txt": "cpu,demo,dev,docs",
    "parity.txt": "cpu,demo,dev,parity",
}


def lock(extras: str, constraints: Path | None) -> str:
    """Resolves the extras and returns the lock's text; versions of `constraints` are kept."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), f"{HERE.parent}[{extras}]", *PINS]
        if constraints is not None:
            pins = Path(folder) / "constraints.txt"
            lines = [line for line in constraints.read_text().splitlines() if "==" in line]
            pins.write_text("\n".join(line.split()[0] for line in lines))
            command += ["--constraint", str(pins)]
        subprocess.run(command, check=True)
        chosen = json.loads(report.read_text())["install"]
    lines = ["# Written by requirements/lock.py; do not edit. Linux, x86_64, Python 3.11."]
    for item in sorted(chosen, key=lambda item: item["metadata"]["name"].lower()):
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
        if name != "spd":
            lines.append(f"{name}=={version} --hash=sha256:{hashes['sha256']}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    previous = None
    for file, extras in LOCKS.items():
        # Each lock extends the one before it, so that tests run on the demo's versions.
        (HERE / file).write_text(lock(extras, previous))
        previous = HERE / file
        print(f"{file}: {sum('==' in line for line in previous.read_text().splitlines())} packages")
