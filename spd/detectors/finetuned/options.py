"""What a user may choose about 2-class training. Imports neither torch nor numba."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spd.options import Options


def _zero_or_from_one(gamma: float) -> float:
    if 0 < gamma < 1:
        raise ValueError("between 0 and 1 the loss has no finite gradient; give 0, or 1 to 5")
    return gamma


Gamma = Annotated[float, Field(ge=0, le=5), AfterValidator(_zero_or_from_one)]


class FewShotOptions(Options):
    """The k-shot draws of the setup 2cls_fewshot (SPD, section 4: k = 5 and 10, mean of 5 random runs)."""

    shots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (5, 10)
    """k: training images of each class."""
    draws: int = Field(5, ge=1)
    """Draws of each k: 0, 1, ... The same images for every pre-training."""


class FineTuningOptions(Options):
    """Training of one classifier or U-Net. Batch and augmentation are the authors' (their repository's issue
    8); every other default is ours."""

    optimiser: Literal["adamw", "sgd"] = "adamw"
    """`adamw`, or `sgd` with momentum 0.9. (ours)"""
    lr: float = Field(3e-4, gt=0)
    """Learning rate of all layers. (ours)"""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled, SGD's L2. (ours)"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Of the learning rate, per step; `cosine` ends at zero. (ours)"""
    epochs: int = Field(20, ge=1)
    """Passes over the training images. (ours)"""
    min_steps: int = Field(200, ge=1)
    """Steps at least, so that ten images are seen often enough. (ours)"""
    batch: int = Field(8, ge=2)
    """Images a step; every step has as many. Fewer where there are fewer training images."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a horizontal flip, the only augmentation."""
    gamma: Gamma = 0.0
    """Focal loss (Lin et al. 2017): weight (1 - p)^gamma of an image or pixel. 0: cross-entropy."""
    alpha: float | None = Field(None, gt=0, lt=1)
    """Focal loss: weight alpha of anomalies, 1 - alpha of the rest; null: none."""
    batch_norm: Literal["batch", "frozen"] = "batch"
    """Of the backbone while training: `batch` normalises by the batch and updates running statistics, which
    scoring uses; `frozen` uses and keeps the pre-trained ones. (ours)"""
    tune: Literal["all", "head"] = "all"
    """`all` layers, or the `head` alone (a U-Net's whole decoder) on an untouched backbone."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the training's arithmetic; test images are scored in float32. (ours)"""


class ClassifierOptions(FineTuningOptions):
    """The backbone with a 2-way head."""


class UNetOptions(FineTuningOptions):
    """A U-Net on the backbone (segmentation_models_pytorch's decoder)."""

    gamma: Gamma = 2.0
    """Focal loss (SPD uses one): weight (1 - p)^gamma of a pixel. 0: cross-entropy."""
    decoder_channels: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=5, max_length=5)
    ] = (256, 128, 64, 32, 16)
    """Channels of the decoder's five blocks, deep to shallow; segmentation_models_pytorch's own."""
