"""Nothing is submitted where something is missing, and all of it is said at once. Slurm is a stand-in."""

import os

import pytest

pytestmark = pytest.mark.workflow

COMMANDS = ("sbatch", "sinfo", "scontrol", "squeue", "scancel", "sacct", "sacctmgr", "sshare")
BODIES = {
    "sbatch": "case $* in *'-p gpu '*) echo 'allocation failure: Invalid partition' >&2; exit 1;; esac",
    "sacctmgr": "echo biology",
}


@pytest.fixture
def slurm(workspace):
    """A PATH with commands that note their calls; sbatch knows no partition named gpu, sacctmgr one account
    that the profile does not name."""
    folder = workspace.folder / "commands"
    folder.mkdir()
    for name in COMMANDS:
        body = BODIES.get(name, "")
        (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/calls\n{body}\n')
        (folder / name).chmod(0o755)
    workspace.calls = lambda: (
        (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    )
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_everything_that_is_missing_is_said_before_the_first_job(workspace, slurm, repository):
    config = {"datasets": {"visa": {"archive": None, "root": "nowhere"}}}
    cluster = ["--profile", str(repository / "slurm")]
    done = workspace.snakemake(*cluster, config=config, environment=slurm)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "Nothing was submitted" in said
    assert "datasets.visa.root: nowhere is not there" in said
    assert "pretrain: Invalid partition (-A lab -p gpu" in said and "features: Invalid partition" in said
    assert "slurm_account: The given account lab appears to be invalid. Available accounts: biology" in said
    assert "import_backbone" not in said.partition("Nothing was submitted")[2], "what fits is not listed"
    submitted = [line for line in workspace.calls() if line.startswith("sbatch")]
    assert submitted and all("--test-only" in line for line in submitted)
    assert not (workspace.folder / "results/tiny/logs").exists()

    before = len(workspace.calls())
    workspace.plan(*cluster, config=config, environment=slurm)
    assert not [line for line in workspace.calls()[before:] if line.startswith("sbatch")], "no dry run asks"
