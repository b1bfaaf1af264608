"""Official files of Swin, DINOv2 and DenseNet, made from timm's networks by undoing what its conversion does:
the backbone must give the features of the network that it was made from."""

import re

import pytest
import timm
import torch

from spd.backbones.architectures import build, pooled
from spd.backbones.files import load
from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.backbones.timm_filter import through_timm


def _swin(state):
    """microsoft/Swin-Transformer, models/swin_transformer.py: a stage ends with its downsampling, buffers are
    saved, the classifier is `head`."""
    official = {}
    for key, value in state.items():
        key = re.sub(r"layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", key)
        official[key.replace("head.fc.", "head.")] = value
    official["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    official["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    official["layers.0.blocks.1.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    return {"model": official}, {"attn_mask": 1, "relative_position_index": 2, "head": 2}


def _dinov2(state):
    """facebookresearch/dinov2, dinov2/models/vision_transformer.py: no classifier, a mask token; with
    registers, position embeddings that hold the class token's."""
    official = {key: value for key, value in state.items() if not key.startswith("head.")}
    if "reg_token" in official:
        of_class = official["cls_token"] / 2  # both halves are exact, and so is their sum
        official["register_tokens"] = official.pop("reg_token")
        official["cls_token"] = of_class
        official["pos_embed"] = torch.cat([of_class, official["pos_embed"]], 1)
    official["mask_token"] = torch.zeros(1, state["cls_token"].shape[-1])
    return official, {"mask_token": 1}


def _densenet(state):
    """torchvision's densenet121-a639ec97.pth, and timm's before it renamed them: `norm.1` for `norm1`; no
    num_batches_tracked."""
    official = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.running_mean" in official
    return official, {"classifier": 2}


@pytest.mark.parametrize(
    ("architecture", "official", "side", "prefix", "reshaped"),
    [
        ("timm:swin_tiny_patch4_window7_224", _swin, 224, "", []),
        ("timm:vit_small_patch14_dinov2", _dinov2, 518, "module.", []),
        (
            *("timm:vit_small_patch14_reg4_dinov2", _dinov2, 518, ""),
            ["pos_embed (1, 1370, 384) became (1, 1369, 384)"],
        ),
        ("timm:densenet121", _densenet, 64, "", []),
        ("torchvision:densenet121", _densenet, 64, "module.model.", []),
    ],
)
def test_official_files(tmp_path, architecture, official, side, prefix, reshaped):
    torch.manual_seed(0)
    original = build(architecture, num_classes=7).eval()
    content, dropped = official(original.state_dict())
    if prefix:  # trained on with DistributedDataParallel
        inside = content.get("model", content)
        content = {"state_dict": {prefix + key: value for key, value in inside.items()}}
    torch.save(content, tmp_path / "c.pth")
    options = BackboneOptions(
        source="timm" if architecture.startswith("timm") else "torchvision",
        architecture=architecture,
        checkpoint=str(tmp_path / "c.pth"),
    )
    report = import_backbone(options, tmp_path / "b")
    assert report.dropped == dropped
    assert "keys by timm's own conversion" in report.converted
    assert [change for change in report.converted if "became" in change] == reshaped
    backbone = load(tmp_path / "b")[0]
    x = torch.randn(1, 3, side, side)
    with torch.no_grad():
        if architecture.startswith("torchvision"):
            wanted, got = original.features(x), backbone.features(x)
        else:
            wanted, got = pooled(original, x), pooled(backbone, x)
    assert torch.equal(got, wanted)


def test_dinov2_giant_has_a_feed_forward_of_other_names():
    with torch.device("meta"):
        wanted = timm.create_model("vit_giant_patch14_dinov2", num_classes=0).state_dict()
    official = {
        key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): torch.zeros(1).expand(value.shape)
        for key, value in wanted.items()
    } | {"mask_token": torch.zeros(1, 1536)}
    assert "blocks.39.mlp.w12.weight" in official and "blocks.0.ls1.gamma" in official
    converted = through_timm(official, "timm:vit_giant_patch14_dinov2")
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in wanted.items()}


def test_what_was_resampled_is_said(tmp_path):
    torch.manual_seed(0)
    other = timm.create_model("vit_tiny_patch16_224", img_size=384, num_classes=0)
    torch.save(other.state_dict(), tmp_path / "c.pth")
    options = BackboneOptions(
        source="timm", architecture="timm:vit_tiny_patch16_224", checkpoint=str(tmp_path / "c.pth")
    )
    report = import_backbone(options, tmp_path / "b")
    assert report.converted == (
        "keys by timm's own conversion",
        "pos_embed (1, 577, 192) became (1, 197, 192)",
    )


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ("timm:swin_tiny_patch4_window7_224", "patch_embed.proj.weight is missing"),
        ("timm:vit_tiny_patch16_224", "cls_token is missing"),
        ("timm:resnet18", "conv1.weight is missing"),  # no conversion
    ],
)
def test_files_of_another_network_are_refused_as_such(tmp_path, architecture, says):
    torch.save({"encoder.x": torch.ones(2), "pos_embed": torch.ones(3)}, tmp_path / "c.pth")
    options = BackboneOptions(source="timm", architecture=architecture, checkpoint=str(tmp_path / "c.pth"))
    with pytest.raises(ValueError, match=rf"holds 2 tensors with keys like encoder\.x.*; not .*{says}"):
        import_backbone(options, tmp_path / "b")


def test_a_name_that_timm_does_not_have_has_no_conversion():
    assert through_timm({"a": torch.ones(1)}, "resnet10_w16") is None
