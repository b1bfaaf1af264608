"""Nothing is started where something is missing, and all of it is said at once. Slurm is a stand-in."""

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
    assert "Nothing was started" in said
    assert "datasets.visa.root: nowhere is not there" in said
    assert "pretrain: Invalid partition (-A lab -p gpu" in said and "features: Invalid partition" in said
    assert "slurm_account: The given account lab appears to be invalid. Available accounts: biology" in said
    assert "import_backbone" not in said.partition("Nothing was started")[2], "what fits is not listed"
    submitted = [line for line in workspace.calls() if line.startswith("sbatch")]
    assert submitted and all("--test-only" in line for line in submitted)
    assert not (workspace.folder / "results/tiny/logs").exists()

    before = len(workspace.calls())
    workspace.plan(*cluster, config=config, environment=slurm)
    assert not [line for line in workspace.calls()[before:] if line.startswith("sbatch")], "no dry run asks"


WEIGHTS = {"source": "timm", "architecture": "timm:vit_tiny_patch16_224", "checkpoint": "mine.pth"}
ROWS = {"tables": {"custom": {"rows": ["lite0_random", "mine"]}}}


def test_a_run_on_one_machine_is_told_everything_at_once(workspace):
    config = {
        **ROWS,
        "datasets": {
            "visa": {"archive": None, "root": "nowhere"},
            "mvtec": {"archive": {"file": "gone.tar"}},
        },
        "pretrainings": {"mine": {"label": "Mine", "source": {**WEIGHTS, "stages": ["blok"]}}},
    }
    missing = (
        "pretrainings.mine.source.checkpoint: mine.pth is not there",
        "datasets.mvtec.archive.file: gone.tar is not there",
        "datasets.visa.root: nowhere is not there",
    )
    done = workspace.snakemake(config=config)
    said = (done.stdout + done.stderr).partition("Nothing was started: 4 things")[2]
    assert done.returncode != 0
    for line in (*missing, "pretrainings.mine.source.stages: no stage blok; timm:vit_tiny_patch16_224 has"):
        assert line in said
    assert not (workspace.folder / "results/tiny/logs").exists()
    plan = workspace.plan(config=config)
    for name in ("gone.tar", "nowhere", "mine.pth"):
        assert f"{name} is not there, and nothing can make it" in plan
    # what needs none of it is not asked for it
    assert workspace.planned("data/demo/tiny/classes.tar", config=config) == {"demo_archive": 1}


def test_what_the_config_alone_tells_is_told_with_what_is_missing_even_by_a_dry_run(workspace):
    config = {
        **ROWS,
        "compute": {"gpus": 3},
        "backbones": {"resnet50": {"stages": ["layer5"]}},
        "pretrainings": {
            "simsiam_spd": {"spd": "none"},
            "mine": {"label": "Mine", "source": {**WEIGHTS, "stages": ["blok"]}},
        },
        "datasets": {
            "visa": {"archive": None, "root": "nowhere"},
            "imagenet": {"archive": None, "root": "$SPD_NOT_SET/classes"},
        },
    }
    done = workspace.snakemake("--dry-run", config=config)
    said = (done.stdout + done.stderr).partition("Nothing was started: 7 things")[2]
    assert done.returncode != 0
    for line in (
        "pretrainings.mine.source.checkpoint: mine.pth is not there",
        "pretrainings.mine.source.stages: no stage blok; timm:vit_tiny_patch16_224 has",  # on the meta device
        "datasets.imagenet.root: $SPD_NOT_SET/classes: the environment variable SPD_NOT_SET is not set",
        "recipes.simsiam.batch: 16 does not divide among 3 ranks",
        "tables.padim_1class.rows: simsiam and simsiam_spd look the same",
        "backbones.resnet50.stages: no stage layer5",
        "datasets.visa.root: nowhere is not there",
    ):
        assert line in said


def test_a_batch_larger_than_the_corpus_stops_before_any_training(workspace):
    config = {"recipes": {"simsiam": {"batch": 64}}, "tables": {"custom": None}}
    reason = "pre-training simsiam: batch: 64 is more than the 28 training images"
    done = workspace.snakemake("padim_1class", "--keep-going", "--until", "pretrain", config=config)
    assert done.returncode != 0
    assert f"[corpus] failed: {reason}" in done.stdout + done.stderr  # as soon as the images are counted
    assert not (workspace.folder / "results/tiny/logs/pretrain").exists()
    done = workspace.snakemake("padim_1class", "--until", "pretrain", config=config)
    assert "Nothing was started: 2 things" in done.stdout + done.stderr  # now they are
    assert reason in done.stdout + done.stderr
