"""What a valid configuration cannot get is told from it alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from spd.config import model as config
from spd.config.fit import unfit
from spd.tensors import write_tensors

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"


def lines(trained=("simsiam", "simsiam_spd", "moco"), **overrides):
    return unfit(config.load(CONFIG, {"preset": "tiny", **overrides}), trained)


@pytest.mark.parametrize("preset", sorted(config.read_yaml(CONFIG)["presets"]))
def test_every_shipped_preset_fits(preset):
    experiment = config.load(CONFIG, {"preset": preset})
    assert unfit(experiment, [name for name, row in experiment.pretrainings.items() if row.recipe]) == []


def test_ranks_and_groups_share_the_batch():
    (line,) = lines(compute={"gpus": 3}, trained=["simsiam", "simsiam_spd"])
    assert line.startswith("recipes.simsiam.batch: 16 does not divide among 3 ranks")
    assert "(pre-trainings simsiam, simsiam_spd;" in line
    (line,) = lines(compute={"gpus": 2, "trainings": {"moco": {"gpus": 4}}})
    assert line.startswith("recipes.moco.batch_norm_group: 8 does not divide the 4 images of each of 4 ranks")
    assert lines(compute={"nodes": 2}) == []  # a rank a node, where there is no GPU


def test_two_rows_of_a_table_that_look_the_same():
    rows = {"simsiam_spd": {"spd": "none"}}
    (line,) = lines(pretrainings=rows)
    assert line == (
        "tables.padim_1class.rows: simsiam and simsiam_spd look the same (SimSiam, none, resnet10_w16); "
        "give one of them another `label`"
    )
    assert lines(pretrainings={"simsiam_spd": {"spd": "none", "label": "SimSiam again"}}) == []
    another = {"simsiam_spd": {"spd": "none", "backbone": "wide_resnet50_2"}}
    assert lines(pretrainings=another, backbones={"wide_resnet50_2": {"architecture": "resnet18_w16"}}) == []


def test_rows_from_files_are_told_apart_by_what_the_files_say(tmp_path):
    def written(name, architecture):
        file = tmp_path / f"{name}.safetensors"
        write_tensors(file, {"x": np.zeros(1, np.float32)}, {"architecture": json.dumps(architecture)})
        return {"label": "Mine", "source": {"source": "file", "checkpoint": str(file)}}

    def found(**pretrainings):
        return lines(pretrainings=pretrainings, tables={"custom": {"rows": list(pretrainings)}})

    assert found(a=written("a", "resnet18"), b=written("b", "resnet50")) == []
    assert (
        "a and b look the same (Mine, none, resnet18)"
        in found(a=written("a", "resnet18"), b=written("b", "resnet18"))[0]
    )
    absent = {"label": "Mine", "source": {"source": "file", "checkpoint": str(tmp_path / "absent")}}
    assert found(a=absent, b=written("b", "resnet18")) == []  # nobody knows yet


def test_stages_that_a_network_does_not_have():
    bad = {"stages": ["layer1", "layer5"]}
    mine = {"label": "Mine", "source": {"source": "lite0", "stages": ["blocks.3"]}}
    foreign = {"label": "X", "source": {"architecture": "timm:vit_tiny_patch16_224", "source": "random"}}
    resnet, lite0 = lines(
        backbones={"resnet50": bad},
        pretrainings={"mine": mine, "foreign": {**foreign, "source": {**foreign["source"], "stages": ["x"]}}},
        tables={"custom": {"rows": ["mine", "foreign"]}},
    )
    assert resnet == (
        "backbones.resnet50.stages: no stage layer5; resnet10_w16 has layer1, layer2, layer3, layer4"
    )
    assert lite0.startswith(
        "pretrainings.mine.source.stages: no stage blocks.3; timm:tf_efficientnet_lite0 has"
    )
