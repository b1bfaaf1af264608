"""docs/extending.md, done: its blocks are applied to a copy of the repository, and its commands run there."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.backbones.stages import StageNetwork

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


def _examples():
    spec = importlib.util.spec_from_file_location("extending_examples", HERE / "examples.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PAGE = _examples()
EXAMPLES = PAGE.examples()


def picture(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(path)


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """A copy of the repository with the page's modules and patches in it."""
    copy = tmp_path_factory.mktemp("extending")
    for name in ("spd", "demo_data", "rules", "workflow_scripts"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(REPOSITORY / name, copy)
    for example in EXAMPLES.values():
        for name, text in example.files.items():
            if name.endswith(".py"):
                assert not (copy / name).exists(), f"{name} is no new module"
                (copy / name).write_text(text)
        if example.patch:
            done = run(["git", "apply", "--verbose", "-"], copy, input=example.patch)
            assert done.returncode == 0, f"{example.title}: the diff does not apply:\n{done.stderr}"
            assert "Skipped" not in done.stderr, done.stderr
    return copy


def run(command, folder, **more):
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    # Outside any repository, or git apply takes the paths for this one's.
    environment |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "GIT_CEILING_DIRECTORIES": "/"}
    environment["GIT_DIR"] = str(folder / "none")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, **more)


def test_counts_of_lines_are_those_of_the_page():
    (written,) = PAGE.COUNTS.findall(PAGE.PAGE.read_text(encoding="utf-8"))
    assert written == PAGE.counts(), "run: python tests/extending/examples.py --write"


def _bring(example, folder):
    """What a user has already: the images, or the weights."""
    csv = example.files.get("photographs/1cls.csv")
    if csv:
        (folder / "photographs").mkdir()
        (folder / "photographs/1cls.csv").write_text(csv)
        for row in csv.splitlines()[1:]:
            for name in filter(None, row.split(",")[3:]):
                picture(folder / "photographs" / name)
    elif example.title == "Image folder":
        for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/scratch/0.png"):
            picture(folder / "photographs/nut" / name)
        picture(folder / "photographs/nut/ground_truth/scratch/0_mask.png", 255)
    for row in yaml.safe_load(example.yaml).get("pretrainings", {}).values():
        if "source" in row:
            (folder / row["source"]["checkpoint"]).write_bytes(b"")


@pytest.mark.workflow
@pytest.mark.parametrize("title", list(EXAMPLES))
def test_command_plans_the_example_down_to_its_table(title, patched):
    example = EXAMPLES[title]
    for name in ("photographs", "results", ".snakemake"):
        shutil.rmtree(patched / name, ignore_errors=True)
    _bring(example, patched)
    (patched / "mine.yaml").write_text(example.yaml)
    snakemake, *arguments = example.command.split()
    assert snakemake == "snakemake"
    done = run([sys.executable, "-m", "snakemake", *arguments, "-n", "--config", "preset=tiny"], patched)
    assert done.returncode == 0, done.stdout + done.stderr
    (table,) = yaml.safe_load(example.yaml)["tables"]
    assert f"tables/{table}.csv" in done.stdout
    mine = yaml.safe_load(example.yaml)["tables"][table]
    for dataset in mine["datasets"]:
        for row in mine["rows"]:
            assert f"cells/{dataset}/1cls/{mine['detector']}-demo/all/{row}-seed0.json" in done.stdout


def test_checkpoint_and_timm_weights_become_backbones(tmp_path, monkeypatch):
    import torch
    import torchvision

    monkeypatch.chdir(tmp_path)
    torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pth")
    code = EXAMPLES["timm backbone"].python
    assert "pretrained=True" in code
    exec(code.replace("pretrained=True", "pretrained=False"), {})
    for title in ("Checkpoint", "timm backbone"):
        ((name, row),) = yaml.safe_load(EXAMPLES[title].yaml)["pretrainings"].items()
        options = BackboneOptions(**row["source"])
        import_backbone(options, f"{name}.safetensors")
        from spd.backbones.files import load

        model, _ = load(f"{name}.safetensors")
        maps = StageNetwork(model.eval(), options.stages)(torch.zeros(1, 3, 64, 64))
        assert list(maps) == list(options.stages)


@pytest.fixture(scope="module")
def steps(patched):
    folder = patched / "steps"
    folder.mkdir()
    done = run([sys.executable, HERE / "steps.py", folder], patched)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_method_trains_without_and_with_spd(steps):
    losses = steps["byol"]["losses"]
    assert [len(values) for values in losses.values()] == [3, 3]
    # Two terms of 2 - 2 cos lie between 0 and 8, and near 4 where nothing is learnt yet.
    assert all(0 < value < 8 for value in losses["byol"])
    assert losses["byol"] != losses["byol_spd"]
    # The target follows by 1 - momentum of the way: the weights were moved by 1.
    assert steps["byol"]["moved"] == pytest.approx(1 - steps["byol"]["momentum"], rel=1e-4)


def test_detector_gives_mahalanobis_distances(steps):
    assert steps["gaussian"]["error"] < 1e-5
    assert steps["gaussian"]["images"] < 1e-4
