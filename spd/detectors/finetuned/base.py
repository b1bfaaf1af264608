"""What a 2-class detector is: a network around a pre-trained backbone, fine-tuned on both classes."""

from typing import ClassVar

from torch import Tensor, nn

from spd.detectors.finetuned.options import FineTuningOptions


class FineTuned(nn.Module):
    """x (B, 3, H, W), normalised -> log-odds of "anomalous": (B,) of an image where `tasks` is
    classification, (B, H, W) of each pixel where it is segmentation.

    New parameters are drawn from torch's global generator, which is seeded. A class of the user's own is
    named by its import path in a profile of config.yaml, `detector: "mypackage.head:Head"`.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("forward", "tasks")

    Options: ClassVar[type[FineTuningOptions]] = FineTuningOptions
    """How the network is trained, and what config.yaml may say of it; a default for each key."""
    label: ClassVar[str] = ""
    """The name in tables; empty: the class's."""
    setup: ClassVar[str] = "2cls"
    tasks: ClassVar[tuple[str]] = ("",)
    """The one task: ("classification",) or ("segmentation",)."""

    def __init__(self, backbone: nn.Module, options: FineTuningOptions | None = None):
        """backbone: pre-trained, and the network's own."""
        super().__init__()
        self.backbone = backbone
        self.options = options or self.Options()

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError
