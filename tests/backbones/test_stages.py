"""Stages: the same maps as the whole network computes, and nothing behind the last one."""

import pytest
import timm
import torch
from torchvision.models.feature_extraction import create_feature_extractor

from spd.backbones import architectures
from spd.backbones.architectures import build
from spd.backbones.options import LITE0, known_stages
from spd.backbones.stages import StageNetwork, stage_names


def _input(side):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_resnet_maps_are_those_of_torchvisions_extractor():
    torch.manual_seed(0)
    model = build("resnet18_w16").eval()
    x = _input(64)
    with torch.no_grad():
        want = create_feature_extractor(model, ["layer1", "layer2", "layer3"])(x)
        network = StageNetwork(model, ["layer3", "layer1"])
        got = network(x)
    assert list(got) == ["layer1", "layer3"]  # first to last, whatever was asked
    for stage, maps in got.items():
        assert torch.equal(maps, want[stage])
    assert got["layer1"].shape == (2, 16, 16, 16) and got["layer3"].shape == (2, 64, 4, 4)
    assert not [name for name, _ in network.named_modules() if "layer4" in name]


@pytest.mark.parametrize("name", [*architectures._LAYERS, "wide_resnet50_2_w16", LITE0])
def test_stages_known_without_torch_are_those_of_the_network(name):
    with torch.device("meta"):
        assert known_stages(name) == stage_names(build(name))
    assert known_stages(f"{name}x") is None


def test_lite0_maps_are_those_of_timms_features_only():
    torch.manual_seed(0)
    model = build("timm:tf_efficientnet_lite0").eval()
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    reference.load_state_dict(model.state_dict(), strict=False)
    assert stage_names(model) == ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
    x = _input(64)
    with torch.no_grad():
        want = reference(x)
        got = StageNetwork(model, ["blocks.1", "blocks.4"])(x)
    assert torch.equal(got["blocks.1"], want[1]) and torch.equal(got["blocks.4"], want[3])


def test_transformer_tokens_become_a_map():
    torch.manual_seed(0)
    model = build("timm:vit_tiny_patch16_224").eval()
    x = _input(224)
    tokens = []
    model.blocks[3].register_forward_hook(lambda module, inputs, output: tokens.append(output))
    with torch.no_grad():
        model(x)
        maps = StageNetwork(model, ["blocks.3"])(x)["blocks.3"]
    # 14 x 14 patches row by row behind one class token
    assert torch.equal(maps, tokens[0][:, 1:].transpose(1, 2).reshape(2, 192, 14, 14))


def test_transformer_takes_another_image_size():
    network = StageNetwork(build("timm:vit_tiny_patch16_224").eval(), ["blocks.1"], image_size=(96, 128))
    with torch.no_grad():
        assert network(torch.randn(1, 3, 96, 128))["blocks.1"].shape == (1, 192, 6, 8)


@pytest.mark.parametrize("stages", [["layer5"], ["layer1", "nothing"], []])
def test_unknown_stages_are_answered_with_the_known(stages):
    with pytest.raises(ValueError, match="layer1, layer2, layer3, layer4"):
        StageNetwork(build("resnet10_w16"), stages)


@pytest.mark.parametrize(
    ("name", "stage", "shape"),
    [
        ("vgg11_bn", "features.7", (2, 128, 16, 16)),
        ("efficientnet_b0", "features.3", (2, 40, 8, 8)),
        ("regnet_y_400mf", "trunk_output.block2", (2, 104, 8, 8)),
        ("shufflenet_v2_x0_5", "stage3", (2, 96, 4, 4)),
        ("swin_t", "features.3", (2, 192, 8, 8)),
    ],
)
def test_torchvisions_other_classifiers(name, stage, shape):
    """The map of a hook on the whole network; nothing behind it is kept."""
    torch.manual_seed(0)
    model, x, kept = build(f"torchvision:{name}").eval(), _input(64), []
    model.get_submodule(stage).register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        model(x)
        network = StageNetwork(model, [stage])
        maps = network(x)[stage]
    want = kept[0].permute(0, 3, 1, 2) if name == "swin_t" else kept[0]
    assert maps.shape == shape and torch.equal(maps, want)
    assert stage in stage_names(model)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in model.parameters())


def test_torchvisions_vision_transformer():
    torch.manual_seed(0)
    model, tokens, stage = build("torchvision:vit_b_32").eval(), [], "encoder.layers.encoder_layer_0"
    x = _input(224)
    model.get_submodule(stage).register_forward_hook(lambda module, inputs, output: tokens.append(output))
    with torch.no_grad():
        model(x)
        maps = StageNetwork(model, [stage])(x)[stage]
    assert torch.equal(maps, tokens[0][:, 1:].transpose(1, 2).reshape(2, 768, 7, 7))


def test_a_torchvision_model_without_the_stage_lists_those_it_has():
    with pytest.raises(ValueError, match=r"no stage layer1; the backbone has features\.0, features\.1"):
        StageNetwork(build("torchvision:vgg11_bn"), ["layer1"])
