"""The classifier: a backbone with a 2-way head."""

from torch import Tensor, nn

from spd.backbones.architectures import feature_dim, pooled
from spd.detectors.finetuned.base import FineTuned
from spd.detectors.finetuned.options import ClassifierOptions
from spd.losses.precision import at_least_float32


class Classifier(FineTuned):
    """x (B, 3, H, W), normalised -> (B,) log-odds of "anomalous": the difference of the head's two logits.

    The 2-way cross-entropy is the binary cross-entropy of this difference. The head is drawn from torch's
    global generator.
    """

    Options = ClassifierOptions
    label = "classifier"
    tasks = ("classification",)

    def __init__(self, backbone: nn.Module, options: ClassifierOptions | None = None):
        super().__init__(backbone, options)
        self.head = nn.Linear(feature_dim(backbone), 2)

    def forward(self, x: Tensor) -> Tensor:
        features = pooled(self.backbone, x)  # (B, C)
        normal, anomalous = at_least_float32(self.head.forward)(features).unbind(1)
        return anomalous - normal
