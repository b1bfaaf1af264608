"""Operations (2 a multiply-add), bytes and shapes, counted on torch's meta device: nothing is computed."""

import functools

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from spd.backbones.architectures import build as build_backbone
from spd.backbones.stages import StageNetwork, stage_names
from spd.detectors.finetuned.classifier import Classifier
from spd.detectors.finetuned.options import FineTuningOptions, UNetOptions
from spd.detectors.finetuned.unet import UNet
from spd.losses.focal import focal_loss
from spd.methods.build import build
from spd.methods.options import Recipe, SPDOptions, seen_views
from spd.views.options import ViewsOptions
from spd.views.views import apply, draw

COUNTED = 32
"""Images of the step that is counted. A loss over the whole batch takes more of them (SimCLR's 4096: 0.01 %
of the network)."""
CANVAS = 256
"""Side of the images that views are made from."""


@functools.cache
def training_flops(architecture: str, recipe: Recipe, spd: SPDOptions | None = None) -> float:
    """Operations an image of one step: every view forward and backward, heads and losses included."""
    views, names = seen_views(recipe, spd)
    sides = {name: views.augmentation(name).size for name in names}
    with torch.device("meta"):
        model = build(architecture, recipe, spd, classes=1000).train()
        seen = {name: torch.empty(COUNTED, 3, side, side) for name, side in sides.items()}
        labels = torch.zeros(COUNTED, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(seen, labels, 0)["loss"].backward()
    return counter.get_total_flops() / COUNTED


@functools.cache
def forward(
    architecture: str, size: tuple[int, int], stages: tuple[str, ...] = ()
) -> tuple[float, dict[str, tuple[int, int, int]]]:
    """(operations, {stage: (C, h, w)}) of one image of `size` (H, W), up to the last of `stages` or all."""
    with torch.device("meta"), torch.inference_mode():
        backbone = build_backbone(architecture)
        network = StageNetwork(backbone, stages or stage_names(backbone), image_size=size).eval()
        with FlopCounterMode(display=False) as counter:
            maps = network(torch.empty(1, 3, *size))
    return counter.get_total_flops(), {name: tuple(of.shape[1:]) for name, of in maps.items()}


@functools.cache
def fine_tuning_flops(
    architecture: str, options: FineTuningOptions, size: tuple[int, int]
) -> tuple[float, float]:
    """Operations of (an image of a training step, a scored image) of `size` (H, W) in a 2-class setup."""
    flops = []
    with torch.device("meta"):
        backbone = build_backbone(architecture)
        unet = isinstance(options, UNetOptions)
        network = UNet(backbone, options) if unet else Classifier(backbone, options)
        network.backbone.requires_grad_(options.tune == "all")
        images, target = torch.empty(2, 3, *size), torch.zeros(2, *size) if unet else torch.zeros(2)
        for training in (True, False):
            network.train(training)
            with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
                logits = network(images)
                if training:
                    focal_loss(logits, target, gamma=options.gamma, alpha=options.alpha).backward()
            flops.append(counter.get_total_flops() / 2)
    return flops[0], flops[1]


@functools.cache
def view_bytes(views: ViewsOptions, names: tuple[str, ...]) -> float:
    """Bytes an image that the batched operations of the views read and write (the path of a GPU)."""
    images = torch.zeros(COUNTED, 3, CANVAS, CANVAS, dtype=torch.uint8, device="meta")
    draws = draw(views, seed=0, step=0, batch=COUNTED, names=names)
    with Traffic() as traffic:
        apply(images, np.tile([CANVAS, CANVAS], (COUNTED, 1)), draws, views)
    return traffic.bytes / COUNTED


class Traffic(TorchDispatchMode):
    """Counts the operations, and the bytes that each reads and writes."""

    FREE = frozenset(
        {"aten::view", "aten::expand", "aten::slice", "aten::unsqueeze", "aten::permute"}
        | {"aten::transpose", "aten::unbind", "aten::_unsafe_view", "aten::detach"}
    )
    """Operations that move nothing."""

    def __init__(self):
        super().__init__()
        self.bytes, self.operations = 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if function._schema.name not in self.FREE:
            leaves = tree_leaves((arguments, keywords, result))
            self.bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, torch.Tensor))
            self.operations += 1
        return result


@functools.cache
def parameter_bytes(architecture: str) -> int:
    """Bytes of a backbone's tensors."""
    with torch.device("meta"):
        return sum(tensor.nbytes for tensor in build_backbone(architecture).state_dict().values())
