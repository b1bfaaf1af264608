"""What is known before any job runs: wrong configs stop without a traceback, and plans need no data."""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.workflow


def test_paper_needs_neither_gpu_nor_archive_for_its_plan_which_is_what_the_docs_say(workspace, repository):
    done = workspace.snakemake("plan", config={}, preset="paper")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| [\d,]+ \|", done.stdout, re.MULTILINE)
    planned = {stage: int(count.replace(",", "")) for stage, count in rows}
    assert planned["pretrain"] == 16
    # PaDiM reads 8 pre-trainings, the ablation 6 more, PatchCore 2; times objects, times profiles.
    # torchvision's published weights are one more row, in one profile.
    assert planned["detect"] == (8 + 6 + 2) * (12 + 15) * 2 + (12 + 15)
    assert planned["download"] == 3
    files = [path for path in (workspace.folder / "results").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["plan.log"]
    whole, trainings = files[0].read_text().split("### Trainings\n\n")
    written = "python benchmarks/plan.py --write"
    assert whole.strip() in (repository / "docs/cluster.md").read_text(), written
    assert trainings.strip() in (repository / "docs/cost.md").read_text(), written


def test_each_training_asks_for_its_own_gpus_and_nodes(workspace):
    own = {"simsiam": {"gpus": 2}, "simsiam_spd": {"gpus": 4, "nodes": 2}}
    said = workspace.plan("padim_1class", config={"compute": {"gpus": 1, "trainings": own}})
    asked = dict(
        re.findall(r"pretraining=(\w+), hash=\w+, seed=0\n +resources: \S+ (nodes=.*), device", said)
    )
    warned = "slurm_extra=--signal=TERM@300"
    assert asked == {
        "simsiam": f"nodes=1, gpu=2, {warned}",
        "simsiam_spd": "nodes=2, gpu=8, mpi=srun, tasks=2, tasks_per_gpu=0, "
        f"{warned} --ntasks-per-node=1 --gpus-per-node=4",
    }


def test_plan_prints_the_graphs_jobs_and_leaves_nothing_but_its_log(workspace, jobs):
    planned = jobs(workspace.plan(config={}))
    done = workspace.snakemake("plan", config={})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \|", done.stdout, re.MULTILINE)
    assert {stage: (int(count), int(left)) for stage, count, left in rows} == {
        stage: (count, count) for stage, count in planned.items()
    }
    assert "wall time" in done.stdout and "at its peak" in done.stdout
    files = [path for path in (workspace.folder / "results").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["plan.log"]
    assert files[0].read_text().strip() in done.stdout


def test_one_table_alone_trains_its_own_rows(workspace, overlay):
    planned = workspace.planned("custom", config=overlay())
    assert (planned["pretrain"], planned["import_backbone"], planned["detect"]) == (1, 1, 2)
    assert {"padim_1class", "site", "mlflow_sync"}.isdisjoint(planned)


def test_continued_pretraining_of_weights_from_elsewhere_imports_them_first(workspace):
    row = {
        "label": "Mine",
        "labels": False,
        "recipe": "moco",
        "spd": "spd",
        "backbone": "lite0",
        "init": "lite0_random",
    }
    lite0 = {"architecture": "timm:tf_efficientnet_lite0", "stages": ["blocks.1", "blocks.2"]}
    config = {"backbones": {"lite0": lite0}, "pretrainings": {"mine": row}}
    target = "results/tiny/backbones/mine/seed0.safetensors"
    planned = workspace.planned(target, config=config)
    assert (planned["import_backbone"], planned["corpus"], planned["pretrain"]) == (1, 1, 1)
    assert "results/tiny/backbones/lite0_random/seed0.safetensors" in workspace.plan(target, config=config)


def test_features_are_a_target_of_their_own(workspace):
    target = "results/paper/features/visa/1cls/crop224/candle/sup-seed0.safetensors"
    planned = workspace.planned(target, config={}, preset="paper")
    assert (planned["pretrain"], planned["images"], planned["features"]) == (1, 1, 1)
    assert "detect" not in planned


def test_wrong_key_stops_before_any_job_without_a_traceback(workspace):
    done = workspace.snakemake(config={"tables": {"padim_1class": {"capton": "x"}}})
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "tables.padim_1class.capton: unknown key (did you mean 'caption'?)" in output
    assert "Traceback" not in output
    assert not (workspace.folder / "results").exists()


def test_unset_variable_in_a_path_stops_before_any_job_without_a_traceback(workspace, overlay):
    mine = {"name": "Mine", "reader": "mvtec", "root": "$NOT_SET/a"}
    done = workspace.snakemake(config=overlay(datasets__mine=mine))
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search(r"datasets\.mine\.root: .*variable NOT_SET is not set; export NOT_SET=", output), output
    assert "Traceback" not in output
    assert not (workspace.folder / "results").exists()


def test_rules_follow_snakemakes_own_lint(repository):
    """`--lint` asks for a container a rule, which this project does not use; nothing else may remain.

    So every rule that runs something has a log.
    """
    command = [sys.executable, "-m", "snakemake", "--lint", "--config", "preset=tiny"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    titles = set(re.findall(r"^    \* (.*):$", done.stdout + done.stderr, re.MULTILINE))
    assert titles == {"Specify a conda environment or container for each rule."}, done.stdout + done.stderr
