"""docs/extending.md, done: its blocks are applied to a copy of the repository, and its commands run there."""

import importlib.util
import json
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
def project(tmp_path_factory):
    """A folder with the page's modules and nothing of the repository."""
    folder = tmp_path_factory.mktemp("extending")
    for example in EXAMPLES.values():
        for name, text in example.files.items():
            if name.endswith(".py"):
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text)
    return folder


def run(command, folder, **more):
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
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
def test_command_plans_the_example_down_to_its_table(title, project):
    example = EXAMPLES[title]
    for name in ("photographs", "results", ".snakemake"):
        shutil.rmtree(project / name, ignore_errors=True)
    _bring(example, project)
    (project / "mine.yaml").write_text(example.yaml)
    output = planned(example, project)
    (table,) = yaml.safe_load(example.yaml)["tables"]
    assert f"tables/{table}.csv" in output
    mine = yaml.safe_load(example.yaml)["tables"][table]
    for dataset in mine["datasets"]:
        for row in mine["rows"]:
            assert f"cells/{dataset}/1cls/{mine['detector']}-demo/all/{row}-seed0.json" in output


def planned(example, project):
    snakemake, *arguments = example.command.split()
    assert snakemake == "snakemake"
    # -P: as the command `snakemake`, which leaves the working directory off the path.
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", *arguments]
    done = run([*command, "-n", "--config", "preset=tiny"], project)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.workflow
def test_another_line_of_ones_own_method_is_another_backbone_and_a_comment_is_not(project):
    example, module = EXAMPLES["Pre-training method"], project / "mypackage/byol.py"
    (project / "mine.yaml").write_text(example.yaml)
    text, hashes = module.read_text(), []
    for changed in (text, f"# Why.\n{text}", text.replace("4 - 2 * agreement", "2 - agreement")):
        module.write_text(changed)
        hashes.append(set(re.findall(r"backbones/byol/(\w+)/seed0", planned(example, project))))
    module.write_text(text)
    assert len(hashes[0]) == 1 and hashes[0] == hashes[1] != hashes[2]


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
def steps(project):
    folder = project / "steps"
    folder.mkdir()
    done = run([sys.executable, HERE / "steps.py", folder], project)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_method_trains_without_and_with_spd(steps):
    losses = steps["byol"]["losses"]
    assert [len(values) for values in losses.values()] == [3, 3]
    # Two terms of 2 - 2 cos lie between 0 and 8, and near 4 where nothing is learnt yet.
    assert all(0 < value < 8 for value in losses["byol"])
    assert losses["byol"] != losses["byol_spd"]
    # The target follows by 1 - momentum of the way, at the start; at the end no more.
    assert steps["byol"]["moved"] == pytest.approx([1 - steps["byol"]["momentum"], 0], abs=1e-5)


def test_detector_gives_the_distances_of_scikit_learn(steps):
    assert steps["knn"]["maps"] < 1e-5 and steps["knn"]["images"] < 1e-5
    assert steps["knn"]["label"] == "kNN"
