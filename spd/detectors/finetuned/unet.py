"""The U-Net: segmentation_models_pytorch's decoder on any backbone that gives a pyramid of maps."""

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from spd.backbones.architectures import is_resnet
from spd.detectors.finetuned.base import FineTuned
from spd.detectors.finetuned.options import UNetOptions
from spd.losses.precision import at_least_float32

_STRIDES = (2, 4, 8, 16, 32)


class UNet(FineTuned):
    """x (B, 3, H, W), normalised -> (B, H, W) log-odds of "anomalous"; any H and W from 33.

    With a ResNet, arithmetic and keys are those of `segmentation_models_pytorch.Unet(<the ResNet>)`, whose
    `encoder` is the `backbone` here; other
    architectures, and narrow ResNets, are the reason why its encoders are not used. Decoder and head are
    drawn from torch's global generator as the library draws them. Raises ValueError for a backbone without
    maps at strides 2 (optional), 4, 8, 16 and 32.
    """

    Options = UNetOptions
    label = "U-Net"
    tasks = ("segmentation",)

    def __init__(self, backbone: nn.Module, options: UNetOptions | None = None):
        super().__init__(backbone, options)
        widths = self.options.decoder_channels
        self.decoder = UnetDecoder(_channels(backbone), widths)
        self.segmentation_head = SegmentationHead(widths[-1], 1)
        initialize_decoder(self.decoder)
        initialize_head(self.segmentation_head)

    def forward(self, x: Tensor) -> Tensor:
        decoded = self.decoder(pyramid(self.backbone, x))  # (B, C, H, W)
        return at_least_float32(self.segmentation_head.forward)(decoded)[:, 0]


def pyramid(backbone: nn.Module, x: Tensor) -> list[Tensor]:
    """x (B, 3, H, W) -> [x, and its maps at strides 2, 4, 8, 16, 32]; 0 channels where there is no map."""
    if is_resnet(backbone):
        maps = [backbone.relu(backbone.bn1(backbone.conv1(x)))]
        below = backbone.maxpool(maps[0])
        for name in ("layer1", "layer2", "layer3", "layer4"):
            below = getattr(backbone, name)(below)
            maps.append(below)
        return [x, *maps]
    maps = backbone.forward_intermediates(x, output_fmt="NCHW", intermediates_only=True)
    if len(maps) < len(_STRIDES):
        batch, _, height, width = x.shape
        maps = [x.new_empty(batch, 0, (height + 1) // 2, (width + 1) // 2), *maps]
    return [x, *maps]


def _channels(backbone: nn.Module) -> list[int]:
    training = backbone.training
    side = 64
    try:
        with torch.no_grad():
            maps = pyramid(backbone.eval(), next(backbone.parameters()).new_zeros(1, 3, side, side))
    except (AttributeError, AssertionError):  # no intermediate maps, or not of this size
        maps = []
    backbone.train(training)
    if [side // m.shape[-1] for m in maps[1:]] != list(_STRIDES):
        raise ValueError(
            f"{type(backbone).__name__} has no pyramid of maps at strides 4, 8, 16 and 32, "
            "which a U-Net needs; use a convolutional backbone for 2-class segmentation"
        )
    return [m.shape[1] for m in maps]
