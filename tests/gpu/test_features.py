"""Features of a GPU are the CPU's to float32, not to TF32."""

import json

import numpy as np
import pytest
import torch

from spd.backbones.architectures import build
from spd.backbones.files import export
from spd.features.extraction import Network, extract
from spd.features.store import Features
from spd.tensors import write_tensors


@pytest.fixture(scope="module", params=["resnet50", "timm:tf_efficientnet_lite0"])
def backbone(request, tmp_path_factory):
    torch.manual_seed(0)
    model = build(request.param)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("backbone") / "backbone.safetensors"
    export(model, path, architecture=request.param, metadata={})
    return path, ("layer1", "layer3") if request.param == "resnet50" else ("blocks.1", "blocks.4")


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-5), ("bfloat16", 3e-2)])
def test_equal_to_the_cpus(backbone, precision, tolerance):
    path, stages = backbone
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 96, 96), np.uint8)
    want = Network(path, stages, (96, 96))(images)
    found = Network(path, stages, (96, 96), precision=precision, device="cuda")(images)
    for stage in stages:
        error = (found[stage].cpu() - want[stage]).norm() / want[stage].norm()
        assert error < tolerance, (stage, float(error))


def test_a_gpu_is_what_extraction_takes(backbone, tmp_path):
    path, stages = backbone
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), np.uint8)
    rows = [["o", "train", "normal", "", f"{i}.png", ""] for i in range(5)]
    geometry = json.dumps({"resize": 64, "mode": "square"})
    metadata = {"rows": json.dumps({"o": rows}), "geometry": geometry, "split_hash": '"abc"'}
    write_tensors(tmp_path / "images", {"o/images": images}, metadata)
    before = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    extract(path, tmp_path / "images", stages, tmp_path / "found", batch=2, progress=False)
    assert torch.cuda.max_memory_allocated() > 0, before
    extract(path, tmp_path / "images", stages, tmp_path / "want", batch=2, device="cpu", progress=False)
    for stage in stages:
        found, want = (np.asarray(Features(tmp_path / name).maps("o", stage)) for name in ("found", "want"))
        assert np.linalg.norm(found - want) / np.linalg.norm(want) < 2e-5
