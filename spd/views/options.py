"""What a user may choose about views. Values on which the SPD paper is silent are marked "ours"."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from spd.options import Options


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} lies above the upper bound {bounds[1]}")
    return bounds


Strength = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]
Colour = tuple[float, float, float]


class JitterOptions(Options):
    """Colour jitter as torchvision's ColorJitter: every operation clamps to [0, 1]."""

    brightness: Strength = 0.4
    """The factor is uniform in [max(0, 1 - brightness), 1 + brightness]."""
    contrast: Strength = 0.4
    """The factor is uniform in [max(0, 1 - contrast), 1 + contrast]."""
    saturation: Strength = 0.4
    """The factor is uniform in [max(0, 1 - saturation), 1 + saturation]."""
    hue: float = Field(0.1, ge=0, le=0.5)
    """The shift is uniform in [-hue, hue] turns of the HSV hue circle."""
    p: Probability = 0.8
    """Probability that an image is jittered at all."""


class BlurOptions(Options):
    """Gaussian blur, kernel truncated at 4 sigma, reflected borders."""

    sigma: PositiveRange = (0.1, 2.0)
    """Standard deviation in pixels of the view, uniform in this range."""
    p: Probability = 0.5
    """Probability that an image is blurred."""


class ViewOptions(Options):
    """One augmentation: random resized crop, flip, colour jitter, grayscale, blur.

    The defaults are MoCo v2's list, which is SimSiam's too (main_moco.py --aug-plus, main_simsiam.py).
    """

    size: int = Field(224, ge=8, le=2048)
    """Side of the square view in pixels."""
    scale: ShareRange = (0.2, 1.0)
    """Area of the crop as a share of the image's."""
    ratio: PositiveRange = (3 / 4, 4 / 3)
    """Aspect ratio (width / height) of the crop, log-uniform in this range."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Filter of the resize; both are antialiased, as PIL's are."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""
    jitter: JitterOptions = JitterOptions()
    """Colour jitter."""
    grayscale: Probability = 0.2
    """Probability that the colours are dropped (three equal channels)."""
    blur: BlurOptions = BlurOptions()
    """Gaussian blur."""


WEAK = ViewOptions(
    scale=(0.9, 1.0),
    ratio=(0.95, 1.05),
    jitter=JitterOptions(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02, p=1.0),
    grayscale=0.0,
    blur=BlurOptions(sigma=(0.1, 1.0), p=0.5),
)
"""Ours: the paper names the operations of the weak augmentation, not their strengths."""


class LocalOptions(Options):
    """The local change: a small patch is copied, colour-jittered and pasted elsewhere in the same image.

    The paper names the steps; every number here is ours. Aspect and jitter are CutPaste's, whose area,
    (0.02, 0.15), gives patches too large to be called subtle.
    """

    kind: Literal["smoothblend", "cutpaste"] = "smoothblend"
    """`smoothblend` pastes through a Gaussian-blurred mask, `cutpaste` through the hard mask."""
    area: ShareRange = (0.005, 0.05)
    """Area of the patch as a share of the view's. Ours."""
    aspect: PositiveRange = (0.3, 3.3)
    """Aspect ratio (width / height) of the patch, log-uniform in this range. Ours."""
    jitter: JitterOptions = JitterOptions(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, p=1.0)
    """Colour jitter of the patch. Ours."""
    sigma: PositiveRange = (0.05, 0.1)
    """Blur of the mask: its sigma as a share of the square root of the patch's area. Ours."""
    foreground: Literal["image", "zero"] = "image"
    """What the blurred mask shows outside the patch: `image` is the image itself (no rim), `zero` the
    paper's literal all-zero layer, which leaves a dark rim around the patch. Ours."""


class ViewsOptions(Options):
    """All views of one pre-training."""

    strong: ViewOptions | tuple[ViewOptions, ...] = ViewOptions()
    """Augmentation of the strong views q and k (or of x); a list gives each its own."""
    weak: ViewOptions = WEAK
    """Augmentation of the views `plus` and `minus`, drawn separately for each. Strengths are ours."""
    local: LocalOptions = LocalOptions()
    """The local change that `minus` has on top of the weak augmentation."""
    anchor: Literal["q", "image"] = "q"
    """What `plus` and `minus` are made from: `q`, the first strong view, or `image`, the image without
    augmentation, which is then a view of its own. Ours: the paper's notation allows both."""
    weak_draws: Literal["independent", "shared"] = "independent"
    """Whether `plus` and `minus` have weak augmentations of their own, or the same one, so that the local
    change is all that tells them apart. Ours: the paper does not say."""
    mean: Colour = (0.485, 0.456, 0.406)
    """Mean per channel (RGB, images in [0, 1]) subtracted from every view; ImageNet's."""
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """Standard deviation per channel that every view is divided by; ImageNet's."""

    @model_validator(mode="after")
    def _some_strong_view(self) -> "ViewsOptions":
        if self.strong == ():
            raise ValueError("strong: give one augmentation, or a list of at least one")
        return self

    def augmentation(self, name: str) -> ViewOptions:
        """The augmentation of the view `name` (q, x: the first strong; k: the second, or the only one)."""
        if name in ("plus", "minus"):
            return self.weak
        strong = self.strong if isinstance(self.strong, tuple) else (self.strong,)
        return strong[min(1, len(strong) - 1) if name == "k" else 0]

    def names(self, base: tuple[str, ...] = ("q", "k"), spd: bool = False) -> tuple[str, ...]:
        """The views that a method with the views `base` needs, without and with the SPD term.

        >>> ViewsOptions().names(("q", "k"), spd=True)
        ('q', 'k', 'plus', 'minus')
        """
        if not spd:
            return tuple(base)
        return (*base, *(("anchor",) if self.anchor == "image" else ()), "plus", "minus")
