"""What a pre-training may be told: the recipe of each method, and SPD's own options. Imports no torch."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainValidator,
    SerializeAsAny,
    field_serializer,
    model_validator,
)

from spd.options import Options
from spd.registry import Entry, Registry
from spd.views.options import BlurOptions, JitterOptions, LocalOptions, ViewOptions, ViewsOptions

SIMCLR_VIEWS = ViewsOptions(
    strong=ViewOptions(
        scale=(0.08, 1.0),
        interpolation="bicubic",
        jitter=JitterOptions(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
    )
)
"""The augmentation of the SimCLR repository (data_util.py, colour strength 1.0)."""

SUPERVISED_VIEWS = ViewsOptions(
    strong=ViewOptions(scale=(0.08, 1.0), jitter=JitterOptions(p=0.0), grayscale=0.0, blur=BlurOptions(p=0.0))
)
"""Random resized crop and flip, as torchvision's reference recipe."""


class Strengths(Options):
    """What a variant of SPD changes of its recipe's weak view and local change; what it does not name stays
    the recipe's."""

    weak: ViewOptions | None = None
    """Keys of the recipe's `views.weak`, but for `size`."""
    local: LocalOptions | None = None
    """Keys of the recipe's `views.local`, but for `kind`."""

    @model_validator(mode="after")
    def _strengths_alone(self) -> "Strengths":
        if self.weak is not None and "size" in self.weak.model_fields_set:
            raise ValueError("weak.size: the size of the views is their recipe's; set it under `recipes`")
        if self.local is not None and "kind" in self.local.model_fields_set:
            raise ValueError(f"local.kind: set `local: {self.local.kind}` beside `strengths`")
        return self


class SPDOptions(Options):
    """The SPD term that is added to a base method (the paper and its poster; else marked
    ours)."""

    eta: float = Field(default=0.1, ge=0)
    """Weight of the term. 0.1 in the paper, which also tries 0.5 and 1.0; 0 is bitwise the base method."""
    local: Literal["smoothblend", "cutpaste"] = "smoothblend"
    """The local perturbation of the negative view: a patch blended in smoothly, or pasted with a hard edge
    (ablation; that its area is SmoothBlend's, not CutPaste's own: # ours)."""
    strengths: Strengths = Strengths()
    """Strengths of the weak view and of the local change where this variant has other ones than its recipe.
    # ours"""
    objective: Literal["auto", "cosine", "xent"] = "auto"
    """cosine: cos(z, z_minus) - cos(z, z_plus). xent: a linear classifier tells z_plus from z_minus. auto:
    xent for supervised, cosine for the others (paper). That xent reads z (for supervised the pooled feature),
    and that eta is its weight: # ours"""
    anchor: Literal["q", "image"] = "q"
    """From which image the weak and the perturbed view are made: the first strong view, or the image as it
    is. # ours"""
    weak_draws: Literal["independent", "shared"] = "independent"
    """Whether z_plus and z_minus come from weak augmentations of their own, or from the same one, so that
    the local change is all that tells them apart (docs/mechanism.md). # ours"""
    stop_gradient: Literal["none", "both"] = "none"
    """both: no gradient flows through z_plus and z_minus, only through the anchor. # ours"""
    cosines: Literal["both", "plus", "minus"] = "both"
    """Which of its two cosines the term keeps: `plus` only pulls z_plus closer, `minus` only pushes z_minus
    away. For finding out what each does (docs/mechanism.md). # ours"""
    moco_encoder: Literal["query", "key"] = "query"
    """Which of MoCo's encoders embeds the two SPD views. `key`: the moving average, without a gradient, so
    that the anchor alone is moved. They never enter the queue. # ours"""

    statistics: Literal["auto", "own", "shared"] = "auto"
    """BatchNorm of the two SPD views: each kind is normalised by its `own` statistics, or both by `shared`
    ones, pair by pair in one pass. auto: shared for xent, own for cosine. xent with own is refused: each kind
    would be centred on its own mean, which hides the difference from the classifier in training (SimSiam) or
    gives it away (supervised). # ours"""
    running_statistics: Literal["method", "all"] = "method"
    """Which views move BatchNorm's running statistics, by which detectors read the backbone: those of the
    base method alone, so that a pair differs in its loss only, or SPD's views, too. # ours"""

    def objective_of(self, recipe: "Recipe") -> str:
        """`cosine` or `xent`: what `auto` means for a base method."""
        return recipe.spd_objective if self.objective == "auto" else self.objective

    def statistics_of(self, recipe: "Recipe") -> str:
        """`own` or `shared`: what `auto` means for a base method."""
        if self.statistics != "auto":
            return self.statistics
        return "shared" if self.objective_of(recipe) == "xent" else "own"

    @field_serializer("strengths")
    def _only_what_is_named(self, strengths: Strengths) -> dict[str, Any]:
        return strengths.model_dump(mode="json", exclude_unset=True, exclude_none=True)

    @model_validator(mode="after")
    def _strengths_do_something(self) -> "SPDOptions":
        named = self.strengths.local.model_fields_set if self.strengths.local else set()
        if self.local == "cutpaste" and (idle := sorted(named & {"sigma", "foreground"})):
            raise ValueError(
                f"strengths.local: {' and '.join(idle)} would do nothing, for CutPaste's mask is hard; "
                "leave it out, or set local: smoothblend"
            )
        return self

    def views(self, views: ViewsOptions) -> ViewsOptions:
        """A recipe's views with this term's anchor, local change, strengths and sharing of draws."""
        views = _changed(views, self.strengths)
        local = views.local.model_copy(update={"kind": self.local})
        chosen = {"anchor": self.anchor, "local": local, "weak_draws": self.weak_draws}
        return views.model_copy(update=chosen)


def _changed(options: Options, changes: Options) -> Options:
    """`options` with the keys that `changes` names, at every depth."""
    update = {}
    for key in changes.model_fields_set:
        value = getattr(changes, key)
        if value is not None:
            update[key] = _changed(getattr(options, key), value) if isinstance(value, Options) else value
    return options.model_copy(update=update)


class Recipe(Options):
    """What the recipes of all methods share; one's own derives from it, and gives each key a default."""

    spd_objective: ClassVar[Literal["cosine", "xent"]] = "cosine"
    """What the SPD term's `objective: auto` means for the method."""
    whole_batch: ClassVar[str] = "BatchNorm takes the statistics of the whole batch"
    """Why gradients of small batches do not add up to a step of the method."""
    has_target: ClassVar[bool] = False
    """Whether the method has a target network that can embed the views of SPD (`moco_encoder: key`)."""

    method: str
    """simsiam, moco, simclr, supervised, or the import path of a class of your own, as
    `mypackage.byol:BYOL` (docs/extending.md)."""
    batch: int = Field(default=256, ge=2)
    """Images a step, over all ranks together."""
    epochs: int = Field(default=100, ge=1)
    """Passes over the images; the last, incomplete batch of each is dropped."""
    steps: int | None = Field(default=None, ge=1)
    """Steps in all; takes the place of `epochs` where given."""
    optimiser: Literal["sgd", "lars"] = "sgd"
    """SGD with momentum, or LARS (https://arxiv.org/abs/1708.03888) as in the SimCLR repository."""
    lr: float = Field(default=0.05, gt=0)
    """Base learning rate, before `lr_scaling`."""
    lr_scaling: Literal["none", "linear", "sqrt"] = "linear"
    """none: lr; linear: lr * batch / 256; sqrt: lr * sqrt(batch)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of the optimiser."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """L2 weight decay."""
    exclude_norm_and_bias: bool = False
    """Leave BatchNorm's parameters and every bias out of weight decay and out of LARS's adaptation."""
    trust_coefficient: float = Field(default=0.001, gt=0)
    """LARS's eta, the ratio of update to weight norm."""
    warmup_epochs: float = Field(default=0, ge=0)
    """Epochs of linear warm-up; counted in the schedule's length."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """How the learning rate falls: to zero along half a cosine, by 10 at each milestone, or not at all."""
    schedule_by: Literal["epoch", "step"] = "epoch"
    """Whether the learning rate changes at each epoch or at each step."""
    milestones: tuple[float, ...] = ()
    """For `schedule: step`: where the rate is divided by 10, as fractions of the training's length."""
    batch_norm: Literal["global", "ghost"] = "global"
    """global: statistics of the whole batch, over all ranks. ghost: of fixed groups of `batch_norm_group`
    images. Neither depends on the number of ranks."""
    batch_norm_group: int = Field(default=32, ge=2)
    """Images a group of ghost BatchNorm; 32 is one GPU's share in the repositories (256 over 8)."""
    batch_norm_momentum: float = Field(default=0.1, gt=0, le=1)
    """Weight of the new statistics in the running ones (torch's convention; the SimCLR repository's 0.9 is
    0.1 here)."""
    frozen_norm: bool = False
    """Continued pre-training: the backbone's BatchNorm normalises by the statistics that came with `init`,
    and they stay; scale and shift are trained. # ours"""
    zero_init_residual: bool = False
    """Start each residual branch at zero (the last BatchNorm's weight)."""
    views: ViewsOptions = ViewsOptions()
    """Augmentations."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """bfloat16: autocast of the network, losses in float32. float64 is for checks."""
    compile: bool = False
    """Compile the backbone with torch.compile."""
    checkpoint_minutes: float = Field(default=15, ge=0)
    """Minutes between two checkpoints; 0 saves after every step."""
    log_interval: int = Field(default=50, ge=1)
    """Steps between two lines of the history."""
    collapse: Literal["warn", "stop"] = "warn"
    """What to do when the embeddings' std * sqrt(d) is under `collapse_below` at a logged step."""
    collapse_below: float = Field(default=0.3, ge=0)
    """Threshold of std * sqrt(d), which is 1 for directions spread evenly over the sphere and 0 for one
    direction. # ours"""
    collapse_after: int = Field(default=200, ge=0)
    """Steps before collapse is looked for: a network at its start has not spread its embeddings yet. #
    ours"""
    non_finite: Literal["stop", "warn"] = "stop"
    """What to do when the loss or its gradient is not finite: stop, or leave that step out (weights, queue
    and BatchNorm's statistics stay as they were) and go on."""
    held_out: float = Field(default=0.0, ge=0)
    """Images kept from training, drawn by the seed, on which a pre-training is judged: a share of each class
    below 1, or about so many in all. A corpus with validation images of its own (ImageNet's val/) is judged
    on these and holds nothing out. # ours"""
    probe_interval: int = Field(default=0, ge=0)
    """Steps between two kNN probes; 0: at the end only."""
    probe_bank: int = Field(default=20_000, ge=1)
    """At most so many training images are the probes' reference. # ours"""
    probe_neighbours: int = Field(default=200, ge=1)
    """k of the kNN probe (https://arxiv.org/abs/1805.01978)."""

    @model_validator(mode="after")
    def _anchor_and_local_change_belong_to_spd(self) -> "Recipe":
        chosen = {
            "views.anchor": self.views.anchor,
            "views.local.kind": self.views.local.kind,
            "views.weak_draws": self.views.weak_draws,
        }
        for key, value in chosen.items():
            if value not in ("q", "smoothblend", "independent"):
                raise ValueError(
                    f"{key}: {value} is no choice of a recipe; set {key.split('.')[1]}: {value} under `spd`"
                )
        return self

    @model_validator(mode="after")
    def _held_out_is_a_share_or_a_count(self) -> "Recipe":
        if self.held_out >= 1 and self.held_out != int(self.held_out):
            raise ValueError(f"held_out: {self.held_out} is neither a share below 1 nor a number of images")
        return self

    @model_validator(mode="after")
    def _groups_fill_the_batch(self) -> "Recipe":
        if self.batch_norm == "ghost" and self.batch % min(self.batch, self.batch_norm_group):
            raise ValueError(
                f"batch: {self.batch} is no multiple of batch_norm_group: {self.batch_norm_group}"
            )
        return self


class SimSiamRecipe(Recipe):
    """SimSiam (https://arxiv.org/abs/2011.10566); defaults: the repository's 100-epoch command (batch 512,
    `--fix-pred-lr`)."""

    method: Literal["simsiam"] = "simsiam"
    """The method's name."""
    batch: int = Field(default=512, ge=2)
    """Images a step, over all ranks together."""
    zero_init_residual: bool = True
    """Start each residual branch at zero (the last BatchNorm's weight)."""
    projector: tuple[int, int, int] = (2048, 2048, 2048)
    """Widths of the projector's three layers; the last is the width of z."""
    predictor: int = Field(default=512, ge=1)
    """Width of the predictor's hidden layer."""
    fixed_predictor_lr: bool = True
    """Keep the predictor's learning rate at its base value."""


class MoCoRecipe(Recipe):
    """MoCo v2 (https://arxiv.org/abs/2003.04297); defaults: the repository's 200-epoch command."""

    whole_batch: ClassVar[str] = "the keys are shuffled over the whole batch and enter the queue together"
    has_target: ClassVar[bool] = True

    method: Literal["moco"] = "moco"
    """The method's name."""
    epochs: int = Field(default=200, ge=1)
    """Passes over the images; the last, incomplete batch of each is dropped."""
    lr: float = Field(default=0.03, gt=0)
    """Base learning rate, before `lr_scaling`."""
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    """none: lr; linear: lr * batch / 256; sqrt: lr * sqrt(batch)."""
    batch_norm: Literal["global", "ghost"] = "ghost"
    """As the base key; keys are grouped over a permutation of the batch drawn from the seed, as shuffle-BN
    does."""
    projector: tuple[int, int] = (2048, 128)
    """Widths of the projector's two layers (no BatchNorm); the last is the width of z."""
    queue: int = Field(default=65_536, ge=1)
    """Keys in the queue; a multiple of `batch`."""
    key_momentum: float = Field(default=0.999, ge=0, le=1)
    """Momentum of the key encoder."""
    temperature: float = Field(default=0.2, gt=0)
    """Temperature of the logits."""

    @model_validator(mode="after")
    def _queue_takes_whole_batches(self) -> "MoCoRecipe":
        if self.queue % self.batch:
            raise ValueError(f"queue: {self.queue} is no multiple of batch: {self.batch}; choose one that is")
        return self


class SimCLRRecipe(Recipe):
    """SimCLR (https://arxiv.org/abs/2002.05709); defaults: the paper's batch-4096 recipe for 100 epochs."""

    whole_batch: ClassVar[str] = "the negatives and BatchNorm's statistics are those of the whole batch"

    method: Literal["simclr"] = "simclr"
    """The method's name."""
    batch: int = Field(default=4096, ge=2)
    """Images a step, over all ranks together."""
    optimiser: Literal["sgd", "lars"] = "lars"
    """SGD with momentum, or LARS (https://arxiv.org/abs/1708.03888) as in the SimCLR repository."""
    lr: float = Field(default=0.3, gt=0)
    """Base learning rate, before `lr_scaling`."""
    weight_decay: float = Field(default=1e-6, ge=0)
    """L2 weight decay (1e-6 in the paper, 1e-4 in the repository's command)."""
    exclude_norm_and_bias: bool = True
    """Leave BatchNorm's parameters and every bias out of weight decay and out of LARS's adaptation."""
    warmup_epochs: float = Field(default=10, ge=0)
    """Epochs of linear warm-up; counted in the schedule's length."""
    schedule_by: Literal["epoch", "step"] = "step"
    """Whether the learning rate changes at each epoch or at each step."""
    zero_init_residual: bool = True
    """Start each residual branch at zero (the last BatchNorm's weight)."""
    views: ViewsOptions = SIMCLR_VIEWS
    """Augmentations."""
    projector: tuple[int, int] = (2048, 128)
    """Widths of the projector's two layers, each with BatchNorm; the last is the width of z."""
    temperature: float = Field(default=0.1, gt=0)
    """Temperature of the logits."""
    loss: Literal["infonce", "ntxent"] = "ntxent"
    """ntxent: SimCLR's own (both directions, averaged; 2 * batch - 2 negatives). infonce: the formula of the
    SPD poster's preliminaries (one direction, batch - 1 negatives)."""


class SupervisedRecipe(Recipe):
    """Cross-entropy on labels; defaults: torchvision's 90-epoch reference recipe."""

    whole_batch: ClassVar[str] = "BatchNorm's running statistics would move once for each small batch"
    spd_objective: ClassVar[Literal["cosine", "xent"]] = "xent"

    method: Literal["supervised"] = "supervised"
    """The method's name."""
    epochs: int = Field(default=90, ge=1)
    """Passes over the images; the last, incomplete batch of each is dropped."""
    lr: float = Field(default=0.1, gt=0)
    """Base learning rate, before `lr_scaling`."""
    schedule: Literal["cosine", "step", "constant"] = "step"
    """How the learning rate falls: to zero along half a cosine, by 10 at each milestone, or not at all."""
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)
    """For `schedule: step`: where the rate is divided by 10, as fractions of the training's length."""
    batch_norm: Literal["global", "ghost"] = "ghost"
    """global: statistics of the whole batch, over all ranks. ghost: of fixed groups of `batch_norm_group`
    images. Neither depends on the number of ranks."""
    views: ViewsOptions = SUPERVISED_VIEWS
    """Augmentations."""


METHODS = Registry(
    "method",
    ("spd.methods.base:Method",),
    {
        "simsiam": Entry("spd.methods.simsiam:SimSiam", SimSiamRecipe),
        "moco": Entry("spd.methods.moco:MoCo", MoCoRecipe),
        "simclr": Entry("spd.methods.simclr:SimCLR", SimCLRRecipe),
        "supervised": Entry("spd.methods.supervised:Supervised", SupervisedRecipe),
    },
)
"""Every pre-training method."""


class NamedMethod(BaseModel):
    method: Annotated[str, AfterValidator(METHODS.checked)]


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """The recipe that `values` (a mapping from config.yaml, with its key `method`) describes.

    Raises pydantic.ValidationError for an unknown method or key, a wrong type or a value out of range.
    """
    return METHODS[NamedMethod.model_validate(values).method].options.model_validate(values)


def active(spd: SPDOptions | None) -> SPDOptions | None:
    """The term that is added to a base method; None where there is none, and where its eta is 0."""
    return spd if spd is not None and spd.eta > 0 else None


AnyRecipe = Annotated[
    SerializeAsAny[Recipe],
    PlainValidator(
        parse_recipe,
        json_schema_input_type=SimSiamRecipe | MoCoRecipe | SimCLRRecipe | SupervisedRecipe | Recipe,
    ),
]
"""A method's recipe, told by its key `method`."""


def seen_views(recipe: Recipe, spd: SPDOptions | None) -> tuple[ViewsOptions, tuple[str, ...]]:
    """(options, names) of the views that a pre-training sees; spd None or eta 0: the base method's. Imports
    the method's class."""
    base = METHODS[recipe.method].load().views
    if (spd := active(spd)) is None:
        return recipe.views, base
    views = spd.views(recipe.views)
    return views, views.names(base, spd=True)


def conflict(recipe: Recipe, spd: SPDOptions | None) -> str | None:
    """Why this recipe cannot be trained with this SPD term, and the way out; None where it can."""
    if (spd := active(spd)) is None:
        return None
    if spd.objective_of(recipe) == "xent":
        if spd.statistics == "own":
            return (
                "statistics: own embeds each kind of view by itself, and BatchNorm then takes from the xent "
                "objective what it should learn from, or gives it away; use statistics: shared or auto, or "
                "objective: cosine"
            )
        by_keys = recipe.has_target and spd.moco_encoder == "key"
        if by_keys or spd.stop_gradient == "both":
            key, other = ("moco_encoder: key", "query") if by_keys else ("stop_gradient: both", "none")
            return (
                f"{key} leaves the xent objective nothing of the network to train; "
                f"use {key.partition(':')[0]}: {other} or objective: cosine"
            )
    group = recipe.batch_norm_group
    if recipe.batch_norm == "ghost" and spd.statistics_of(recipe) == "shared":
        images = 2 * recipe.batch
        if images % min(images, group):
            return (
                f"statistics: shared normalises {images} views together, two of each image of batch: "
                f"{recipe.batch}; choose a batch that is a multiple of batch_norm_group: {group}"
            )
    return None


def digest(options: Options) -> str:
    """SHA-256 of the options' values, the same on every machine."""
    return hashlib.sha256(json.dumps(options.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
