"""Supervised pre-training: cross-entropy on the classes. Equations: docs/methods/supervised.md."""

import math

from torch import Tensor, nn

from spd.losses.classification import classification
from spd.methods.base import Method
from spd.methods.options import SupervisedRecipe


class Supervised(Method):
    """Backbone and a linear classifier. Parameters are drawn from torch's global generator.

    Raises ValueError for fewer than two classes, whose loss would be 0 whatever the network does.
    """

    Options = SupervisedRecipe
    views = ("x",)

    def __init__(self, backbone: nn.Module, width: int, recipe: SupervisedRecipe, classes: int):
        if classes < 2:
            raise ValueError(
                "supervised pre-training needs two classes or more, and the corpus has one: its loss would "
                "be 0 throughout; add class folders, or take simsiam, moco or simclr"
            )
        super().__init__(backbone, width, recipe, classes)
        self.classifier = nn.Linear(width, classes)
        self.expected_loss = math.log(classes)

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """View `x` (B, 3, H, W), labels int64 (B,) -> `loss` and `accuracy` (scalars) and `z` (B, C), the
        pooled features."""
        h = self.embed(views["x"])  # (B, C)
        logits = self.classifier(h)  # (B, classes)
        return {
            "loss": classification(logits, labels),
            "accuracy": (logits.argmax(1) == labels).float().mean(),
            "z": h,
        }
