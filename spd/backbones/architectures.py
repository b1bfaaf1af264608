"""Architectures by name: torchvision's ResNets, narrow ones with the same keys, and everything in torchvision
and timm."""

import difflib
import re

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

# name -> block, blocks per layer, width_per_group: torchvision.models.resnet's, and resnet10 of ours
_LAYERS = {
    "resnet10": (BasicBlock, [1, 1, 1, 1], 64),
    "resnet18": (BasicBlock, [2, 2, 2, 2], 64),
    "resnet34": (BasicBlock, [3, 4, 6, 3], 64),
    "resnet50": (Bottleneck, [3, 4, 6, 3], 64),
    "resnet101": (Bottleneck, [3, 4, 23, 3], 64),
    "wide_resnet50_2": (Bottleneck, [3, 4, 6, 3], 128),
}


class NarrowResNet(ResNet):
    """torchvision's ResNet with `stem` instead of 64 channels after the first convolution: same modules and
    keys, fewer channels."""

    def __init__(self, block, layers, *, stem: int, **options):
        self._stem = stem
        super().__init__(block, layers, **options)
        self.conv1 = nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = nn.BatchNorm2d(stem)
        self.fc = nn.Linear(8 * stem * block.expansion, self.fc.out_features)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:  # layer1: ResNet.__init__ has just fixed its input at 64 channels
            self.inplanes = self._stem
        return super()._make_layer(block, planes * self._stem // 64, blocks, stride, dilate)


def build(architecture: str, *, zero_init_residual: bool = False, num_classes: int = 0) -> nn.Module:
    """A freshly initialised network, weights drawn from torch's global generator.

    `architecture`: `resnet10|18|34|50|101` or `wide_resnet50_2`, optionally with `_w<channels>` (a multiple
    of 4, at most 64) for a narrow stem, `torchvision:<name>` (any of its classifiers) or `timm:<name>`.
    With `num_classes` 0 there is no classifier:
    `model(x)` gives pooled features (B, C). `zero_init_residual` starts every residual branch at zero
    (ResNets only; timm's models keep timm's own initialisation). Raises ValueError for an unknown name, with
    the nearest known one.
    """
    if architecture.startswith("timm:"):
        import timm  # takes most of a second, which jobs of other networks need not wait

        name = architecture.removeprefix("timm:")
        if not timm.is_model(name):
            raise ValueError(
                f"unknown architecture {architecture!r}{_nearest(name, timm.list_models(), 'timm:')}"
            )
        return timm.create_model(name, pretrained=False, num_classes=num_classes)

    if architecture.startswith("torchvision:"):
        return _torchvision(architecture.removeprefix("torchvision:"), num_classes)

    match = re.fullmatch(r"(.+?)(?:_w(\d+))?", architecture)
    if match is None or match[1] not in _LAYERS:
        raise ValueError(
            f"unknown architecture {architecture!r}{_nearest(architecture, _LAYERS)} "
            f"(known: {', '.join(_LAYERS)}, each also with _w<channels>, torchvision:<name> and timm:<name>)"
        )
    block, layers, width_per_group = _LAYERS[match[1]]
    options = {
        "num_classes": num_classes or 1,
        "zero_init_residual": zero_init_residual,
        "width_per_group": width_per_group,
    }
    if match[2] is None:
        model = ResNet(block, layers, **options)
    else:
        stem = int(match[2])
        if not 4 <= stem <= 64 or stem % 4:
            raise ValueError(
                f"architecture {architecture!r}: _w must be a multiple of 4 from 4 to 64, not {stem}"
            )
        model = NarrowResNet(block, layers, stem=stem, **options)
    if not num_classes:
        model.fc = nn.Identity()
    return model


def _torchvision(name: str, num_classes: int) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(f"unknown architecture 'torchvision:{name}'{_nearest(name, known, 'torchvision:')}")
    if num_classes:
        return torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    model = torchvision.models.get_model(name, weights=None)
    head = next(part for part in ("fc", "classifier", "head", "heads") if hasattr(model, part))
    setattr(model, head, nn.Identity())
    return model


def is_resnet(model: nn.Module) -> bool:
    """Whether the model is one of torchvision's ResNet class (narrow ones included)."""
    return isinstance(model, ResNet)


def feature_dim(model: nn.Module) -> int:
    """Length C of the pooled feature."""
    if is_resnet(model):
        return (
            model.layer4[-1].bn3.num_features
            if hasattr(model.layer4[-1], "bn3")
            else model.layer4[-1].bn2.num_features
        )
    if not hasattr(model, "head_hidden_size"):
        raise ValueError(
            f"torchvision's {type(model).__name__} cannot be pre-trained here; timm:<name> has the same kinds"
        )
    return model.head_hidden_size


def memory_format(model: nn.Module) -> torch.memory_format:
    """The faster memory format in which the model can be trained: channels_last wherever it is safe.

    oneDNN 3.12 (torch 2.14, CPU) writes past its buffers in the backward pass of a channels_last 1 x 1
    convolution with stride that reads 4 or 8 channels (seen at 56 px with 16 images: the heap is corrupted).
    Networks with such a convolution below 16 channels, `resnet10|18|34` with `_w4` to `_w12`, stay
    contiguous.
    """
    narrow = any(
        isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and m.stride != (1, 1) and m.in_channels < 16
        for m in model.modules()
    )
    return torch.contiguous_format if narrow else torch.channels_last


def pooled(model: nn.Module, x: Tensor) -> Tensor:
    """The feature before the classifier, if there is one. x: (B, 3, H, W), normalised -> (B, C)."""
    if not is_resnet(model):
        return model.forward_head(model.forward_features(x), pre_logits=True)
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    x = model.layer4(model.layer3(model.layer2(model.layer1(x))))
    return torch.flatten(model.avgpool(x), 1)


def _nearest(name: str, known, prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {prefix + close[0]!r}?" if close else ""
