import pytest
import segmentation_models_pytorch as smp
import torch

from spd.backbones.architectures import build
from spd.detectors.finetuned.options import UNetOptions
from spd.detectors.finetuned.unet import UNet, pyramid


@pytest.mark.parametrize("size", [(64, 96), (70, 53)])
def test_is_segmentation_models_pytorchs_unet_with_the_pretrained_encoder(size):
    torch.manual_seed(0)
    ours, theirs = UNet(build("resnet50")).eval(), smp.Unet("resnet50", encoder_weights=None).eval()
    keys = {key: key.replace("backbone.", "encoder.", 1) for key in ours.state_dict()}
    theirs.load_state_dict({keys[key]: value for key, value in ours.state_dict().items()})  # strict
    x = torch.randn(2, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x)[:, 0])


def test_decoder_and_head_are_drawn_as_the_library_draws_them():
    backbone = build("resnet18")
    torch.manual_seed(3)
    ours = UNet(backbone)
    fresh = {k: v for k, v in smp.Unet("resnet18", encoder_weights=None).state_dict().items()}
    for key, value in ours.state_dict().items():
        if key.startswith(("decoder", "segmentation_head")) and value.dim() == 4:
            limit = fresh[key].abs().max()  # both are uniform on an interval of the same width
            assert value.abs().max() == pytest.approx(float(limit), rel=0.1)


@pytest.mark.parametrize(
    "architecture", ["resnet10_w16", "resnet10_w24", "timm:tf_efficientnet_lite0", "timm:convnext_atto"]
)
def test_takes_narrow_resnets_and_timms_networks(architecture):
    torch.manual_seed(0)
    network = UNet(build(architecture), UNetOptions(decoder_channels=(16, 8, 8, 8, 8)))
    x = torch.randn(2, 3, 64, 96)
    logits = network(x)
    assert logits.shape == (2, 64, 96)
    assert [m.shape[-1] for m in pyramid(network.backbone, x)] == [96, 48, 24, 12, 6, 3]
    logits.mean().backward()
    assert all(p.grad is not None for p in network.decoder.parameters())
    assert next(network.backbone.parameters()).grad.abs().sum() > 0


def test_lite0_gives_what_smps_own_timm_encoder_gives():
    backbone = build("timm:tf_efficientnet_lite0").eval()
    peer = smp.encoders.get_encoder("tu-tf_efficientnet_lite0", weights=None).eval()
    keys = peer.model.state_dict().keys()
    peer.model.load_state_dict({k: v for k, v in backbone.state_dict().items() if k in keys})
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(pyramid(backbone, x), peer(x), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_backbone_without_a_pyramid_is_refused():
    with pytest.raises(ValueError, match="no pyramid of maps at strides 4, 8, 16 and 32"):
        UNet(build("timm:vit_tiny_patch16_224"))


def test_building_leaves_the_backbone_as_it_was():
    backbone = build("resnet10_w16").train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    UNet(backbone)
    assert backbone.training
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())
