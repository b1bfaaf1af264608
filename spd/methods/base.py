"""What a pre-training method is: a class with `forward`; everything else has a default."""

from typing import ClassVar

from torch import Tensor, nn

from spd.methods.options import Recipe


class Method(nn.Module):
    """A backbone, what a method puts around it, and its loss.

    The loop draws the views, steps the optimiser, and knows nothing else of a method than what stands here.
    A class of the user's own is named in config.yaml by its import path, `method: "mypackage.byol:BYOL"`.
    Parameters are drawn from torch's global generator, which the loop has seeded.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("forward",)

    Options: ClassVar[type[Recipe]] = Recipe
    """The recipe: what config.yaml may say of the method; a default for each key."""
    views: ClassVar[tuple[str, ...]] = ("q", "k")
    """Names of the views that `forward` is given; `q` (or `x`, of a method with one view) is the first. The
    recipe's `views.strong` says how each is drawn."""
    expected_loss: float | None = None
    """The loss at the start, where theory says it."""

    def __init__(self, backbone: nn.Module, width: int, recipe: Recipe, classes: int):
        """width: C, the length of the backbone's pooled feature. classes: number of classes of the images."""
        super().__init__()
        self.backbone = backbone
        self.projector: nn.Module = nn.Identity()
        """From the pooled feature (B, C) to the embedding z (B, D); as it stands, z is the feature."""
        self.embedding_width = width
        """D, the length of z."""
        self.classifier: nn.Module | None = None
        """From the pooled feature to the classes, where the method trains such a head: it is judged, too."""
        self.fixed_lr: nn.Module | None = None
        """The part whose learning rate stays at its base value."""

    def embed(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> z (B, D). The SPD term embeds its views so."""
        return self.projector(self.backbone(x))

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """Views (B, 3, H, W) by name, class labels int64 (B,), the step's own seed -> `loss` (scalar), `z`
        (B, D) of the first view, and further scalars to be logged."""
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """After the optimiser's step: moves a target network, a queue. progress: the share of the training
        that is done, in (0, 1]."""

    @property
    def backbones(self) -> tuple[nn.Module, ...]:
        """The backbone and its copies in target networks: all start from the weights of `init`, and
        `frozen_norm` holds for each."""
        return (self.backbone,)

    def embed_by_target(self, x: Tensor) -> Tensor:
        """As `embed`, by the target network where there is one, without a gradient (`moco_encoder:
        key`)."""
        return self.embed(x)
