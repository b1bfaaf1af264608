"""Architectures: torchvision's and timm's own, and narrow ones that differ in their widths alone."""

import subprocess
import sys

import pytest
import timm
import torch
import torchvision

from spd.backbones.architectures import build, feature_dim, memory_format, pooled


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "wide_resnet50_2"])
def test_full_width_is_torchvisions_own(name):
    with torch.device("meta"):
        ours, theirs = build(name, num_classes=1000), getattr(torchvision.models, name)()
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "wide_resnet50_2"])
def test_narrow_has_the_same_keys_and_a_quarter_of_the_channels(name):
    with torch.device("meta"):
        narrow, full = build(f"{name}_w16").state_dict(), build(name).state_dict()
    assert list(narrow) == list(full)
    for key, value in full.items():
        # every dimension that counts channels is a quarter; 3 input colours and kernel sizes stay
        assert narrow[key].shape == tuple(n // 4 if n >= 64 else n for n in value.shape), key


def test_stem_64_is_the_same_network_as_the_full_one():
    narrow, full = build("resnet18_w64").eval(), torchvision.models.resnet18().eval()
    narrow.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith("fc.")})
    full.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(narrow(x), full(x))


def test_resnet10_has_one_block_a_layer():
    model = build("resnet10_w16")
    assert [len(layer) for layer in (model.layer1, model.layer2, model.layer3, model.layer4)] == [1, 1, 1, 1]


def test_zero_init_residual_makes_blocks_the_identity_at_first():
    model = build("resnet18_w16", zero_init_residual=True)
    assert all(not block.bn2.weight.any() for layer in (model.layer1, model.layer4) for block in layer)
    assert build("resnet18_w16").layer1[0].bn2.weight.all()


@pytest.mark.parametrize(
    "name", ["resnet10_w16", "resnet50_w16", "timm:tf_efficientnet_lite0", "timm:vit_tiny_patch16_224"]
)
def test_pooled_features(name):
    torch.manual_seed(0)
    bare, whole = build(name).eval(), build(name, num_classes=3).eval()
    missing = whole.load_state_dict(bare.state_dict(), strict=False).missing_keys
    assert len(missing) == 2  # the classifier's weight and bias
    side = 224 if "vit" in name else 64
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        features = pooled(whole, x)
        assert features.shape == (2, feature_dim(whole)) and feature_dim(bare) == feature_dim(whole)
        assert torch.equal(features, bare(x))  # without classifier the network's output is the pooled feature


def test_timm_is_timms_own():
    assert list(build("timm:resnet18", num_classes=1000).state_dict()) == list(
        timm.create_model("resnet18").state_dict()
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet51", "did you mean 'resnet50'"),
        ("timm:tf_efficientnet_lite00", "did you mean 'timm:tf_efficientnet_lite0'"),
        ("resnet18_w15", "multiple of 4 from 4 to 64, not 15"),
        ("resnet18_w128", "not 128"),
        ("", "known: resnet10"),
    ],
)
def test_unknown_names(name, hint):
    with pytest.raises(ValueError, match=hint):
        build(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet10_w8", torch.contiguous_format),
        ("resnet18_w12", torch.contiguous_format),
        ("resnet18_w16", torch.channels_last),
        ("resnet50_w8", torch.channels_last),  # bottlenecks quadruple the channels before the strides
        ("wide_resnet50_2", torch.channels_last),
        ("timm:tf_efficientnet_lite0", torch.channels_last),
    ],
)
def test_memory_format(name, expected):
    with torch.device("meta"):
        assert memory_format(build(name)) is expected


def test_a_narrow_network_survives_its_backward_pass():
    # in a process of its own: with channels_last oneDNN corrupts the heap and the process dies
    code = """
import torch
from spd.backbones.architectures import build, memory_format
torch.set_num_threads(1)
model = build("resnet10_w8").train()
form = memory_format(model)
model.to(memory_format=form)
for _ in range(2):
    model(torch.randn(16, 3, 224, 224).contiguous(memory_format=form)).square().mean().backward()
print("alive")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "alive", run.stderr
