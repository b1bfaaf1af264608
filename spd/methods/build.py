"""From options to a method ready to train."""

from torch import nn

from spd.backbones import batchnorm
from spd.backbones.architectures import build as build_backbone
from spd.backbones.architectures import feature_dim
from spd.methods.base import Method
from spd.methods.options import METHODS, Recipe, SPDOptions, active, conflict
from spd.methods.spd import WithSPD


def build(architecture: str, recipe: Recipe, spd: SPDOptions | None = None, *, classes: int) -> nn.Module:
    """The recipe's method around a new backbone, with the SPD term where `spd` has an eta above 0.

    Everything is drawn from torch's global generator, the SPD classifier last, so that a method starts from
    the same weights with and without SPD. `classes`: number of classes of the images. Raises ValueError where
    the SPD options cannot be combined.
    """
    backbone = build_backbone(architecture, zero_init_residual=recipe.zero_init_residual)
    model = METHODS[recipe.method].load()(backbone, feature_dim(backbone), recipe, classes)
    if active(spd) is not None:
        if (reason := conflict(recipe, spd)) is not None:
            raise ValueError(f"spd: {reason}")
        model = WithSPD(model, spd, recipe)
    batchnorm.convert(model, recipe.batch_norm, recipe.batch_norm_group, recipe.batch_norm_momentum)
    return model


def base(model: nn.Module) -> Method:
    """The base method inside `model`, with or without the SPD term around it."""
    return model.method if isinstance(model, WithSPD) else model
