"""What a user may choose about the linear protocol: a recipe a method. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from spd.backbones.normalisation import IMAGENET_MEAN, IMAGENET_STD
from spd.options import Options
from spd.views.options import BlurOptions, Colour, JitterOptions, ShareRange, ViewOptions, ViewsOptions


class LinearOptions(Options):
    """A linear classifier trained on the frozen features of random crops and flips; defaults: MoCo's
    (main_lincls.py)."""

    batch: int = Field(default=256, ge=1)
    """Images a step; the last, incomplete batch of an epoch is a step, too."""
    epochs: int = Field(default=100, ge=1)
    """Passes over the training images."""
    optimiser: Literal["sgd", "lars"] = "sgd"
    """SGD with momentum, or LARS (https://arxiv.org/abs/1708.03888) as for pre-training."""
    lr: float = Field(default=30.0, gt=0)
    """Base learning rate, before `lr_scaling`."""
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    """none: lr; linear: lr * batch / 256; sqrt: lr * sqrt(batch)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of the optimiser."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 weight decay."""
    nesterov: bool = False
    """SGD with Nesterov's momentum."""
    trust_coefficient: float = Field(default=0.001, gt=0)
    """LARS's eta, the ratio of update to weight norm."""
    schedule: Literal["cosine", "step", "constant"] = "step"
    """How the learning rate falls: to zero along half a cosine, by 10 at each milestone, or not at all."""
    schedule_by: Literal["epoch", "step"] = "epoch"
    """Whether the learning rate changes at each epoch or at each step."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.6, 0.8)
    """For `schedule: step`: where the rate is divided by 10, as fractions of the training's length."""
    size: int = Field(default=224, ge=8, le=2048)
    """Side of the crops in pixels, in training and in evaluation."""
    scale: ShareRange = (0.08, 1.0)
    """Area of a training crop as a share of the image's."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Filter of the training crops' resize."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of the frozen network; the classifier is float32. # ours"""
    held_out: float = Field(default=10_000, ge=0)
    """Images that weights from elsewhere are judged on where the corpus has none of its own: a share of each
    class below 1, or about so many in all. A backbone trained here is judged on what its training held out.
    # ours"""

    def views(self, mean: Colour = IMAGENET_MEAN, std: Colour = IMAGENET_STD) -> ViewsOptions:
        """The view `x`: random resized crop and flip alone, normalised as the backbone's training was."""
        crop = ViewOptions(
            size=self.size,
            scale=self.scale,
            interpolation=self.interpolation,
            jitter=JitterOptions(p=0.0),
            grayscale=0.0,
            blur=BlurOptions(p=0.0),
        )
        return ViewsOptions(strong=crop, mean=mean, std=std)


class LinearProtocols(Options):
    """The linear protocol of each method. Weights from elsewhere go by their repository's, and by
    `supervised` where it has none."""

    moco: LinearOptions = LinearOptions()
    """facebookresearch/moco, main_lincls.py and README."""
    simsiam: LinearOptions = LinearOptions(
        batch=4096,
        epochs=90,
        optimiser="lars",
        lr=0.1,
        lr_scaling="linear",
        schedule="cosine",
        milestones=(),
    )
    """facebookresearch/simsiam, main_lincls.py --lars and README."""
    simclr: LinearOptions = LinearOptions(
        batch=4096,
        epochs=90,
        lr=0.1,
        lr_scaling="linear",
        nesterov=True,
        weight_decay=1e-6,
        schedule="cosine",
        schedule_by="step",
        milestones=(),
        interpolation="bicubic",
    )
    """google-research/simclr, README (linear head on ImageNet), model.py and data_util.py."""
    supervised: LinearOptions = LinearOptions(
        epochs=90, lr=0.1, lr_scaling="linear", schedule="cosine", milestones=()
    )
    """Weights from elsewhere: lightly's linear evaluation; to take it for supervised weights is ours. One
    trained here is judged by its own classifier."""

    def of(self, method: str | None, source: str | None) -> tuple[str, LinearOptions]:
        """(method, its protocol) of a pre-training, by its recipe's method or by where its weights come
        from; that of `supervised` for any other."""
        name = method or source
        name = name if name in type(self).model_fields else "supervised"
        return name, getattr(self, name)
