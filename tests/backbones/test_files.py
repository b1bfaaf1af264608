"""Backbone files: keys of the architecture, strict on the way in and out, never a pickle."""

import json

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from spd.backbones.architectures import build
from spd.backbones.files import export, load, load_into, read_metadata
from spd.tensors import open_tensors, write_tensors


@pytest.fixture
def small(tmp_path):
    torch.manual_seed(1)
    model = build("resnet10_w16", num_classes=5)
    path = tmp_path / "backbone.safetensors"
    export(model, path, architecture="resnet10_w16", metadata={"method": "SimSiam", "eta": 0.1, "seed": 3})
    return model, path


def test_round_trip(small):
    model, path = small
    loaded, metadata = load(path)
    assert not loaded.training
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key
    assert metadata.architecture == "resnet10_w16" and metadata.more == {
        "method": "SimSiam",
        "eta": 0.1,
        "seed": 3,
    }
    assert metadata.mean == (0.485, 0.456, 0.406) and metadata.std == (0.229, 0.224, 0.225)
    assert read_metadata(path) == metadata


def test_resnet50_loads_strictly_into_torchvision_and_timm(tmp_path):
    torch.manual_seed(0)
    export(build("resnet50"), tmp_path / "r50", architecture="resnet50", metadata={})
    state = safetensors.torch.load_file(tmp_path / "r50")
    torchvisions = torchvision.models.resnet50()
    torchvisions.fc = torch.nn.Identity()
    torchvisions.load_state_dict(state, strict=True)
    timms = timm.create_model("resnet50", num_classes=0)
    timms.load_state_dict(state, strict=True)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        a, b = torchvisions.eval()(x), timms.eval()(x)
    assert torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


def test_the_bytes_depend_on_the_content_alone(small, tmp_path):
    model, path = small
    export(
        model,
        tmp_path / "again",
        architecture="resnet10_w16",
        metadata={"seed": 3, "eta": 0.1, "method": "SimSiam"},
    )
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_callers_generator_is_left_alone(small):
    _, path = small
    before = torch.get_rng_state()
    model, _ = load(path)
    export(model, path, architecture="resnet10_w16", metadata={})
    assert torch.equal(torch.get_rng_state(), before)


def test_five_differences_are_named(small):
    _, path = small
    tensors, metadata = open_tensors(path)
    tensors = {key: value.copy() for key, value in tensors.items()}
    del tensors["conv1.weight"]
    tensors["bn1.weight"] = tensors["bn1.weight"][:3]
    tensors["surplus"] = tensors["bn1.bias"]
    write_tensors(path, tensors, metadata)
    with pytest.raises(ValueError) as error:
        load(path)
    for part in ("conv1.weight is missing", "surplus is unknown", "bn1.weight is (3,), not (16,)", str(path)):
        assert part in str(error.value)
    write_tensors(path, {"a": tensors["bn1.bias"]}, metadata)
    with pytest.raises(ValueError, match=r"(;[^;]*){4} and 68 more"):
        load(path)


def test_another_architecture_is_refused_on_the_way_out(small, tmp_path):
    model, _ = small
    with pytest.raises(ValueError, match="not the weights of resnet18_w16"):
        export(model, tmp_path / "x", architecture="resnet18_w16", metadata={})
    assert not (tmp_path / "x").exists()


def test_weights_that_are_not_finite_are_refused(small, tmp_path):
    model, _ = small
    with torch.no_grad():
        model.layer1[0].conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"not finite: layer1\.0\.conv1\.weight"):
        export(model, tmp_path / "x", architecture="resnet10_w16", metadata={})


def test_pickles_and_foreign_files_are_refused(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load(tmp_path / "x.pth")
    for metadata in ({}, {"other": json.dumps(1)}, {"architecture": "not JSON"}):
        write_tensors(tmp_path / "y", {}, metadata)
        with pytest.raises(ValueError, match="does not say architecture"):
            load(tmp_path / "y")


@pytest.mark.parametrize("classes", [0, 5])
def test_load_into_keeps_the_classifier(small, classes):
    source, path = small
    torch.manual_seed(2)
    model = build("resnet10_w16", num_classes=classes).train()
    head = model.fc.weight.clone() if classes else None
    load_into(model, path, architecture="resnet10_w16")
    assert torch.equal(model.layer4[0].conv2.weight, source.layer4[0].conv2.weight) and model.training
    assert head is None or torch.equal(model.fc.weight, head)
    with pytest.raises(ValueError, match="cannot initialise 'resnet18_w16'"):
        load_into(model, path, architecture="resnet18_w16")


def test_load_into_a_timm_model(tmp_path):
    torch.manual_seed(0)
    name = "timm:tf_efficientnet_lite0"
    export(build(name), tmp_path / "b", architecture=name, metadata={"mean": [0.498] * 3, "std": [0.502] * 3})
    model = build(name, num_classes=4)
    assert load_into(model, tmp_path / "b", architecture=name).mean == (0.498, 0.498, 0.498)
    source, _ = load(tmp_path / "b")
    x = torch.randn(1, 3, 64, 64)
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.forward_head(model.forward_features(x), pre_logits=True), source(x))
