"""From options to a method ready to train."""

from torch import nn

from spd.backbones import batchnorm
from spd.backbones.architectures import build as build_backbone
from spd.backbones.architectures import feature_dim
from spd.methods.moco import MoCo
from spd.methods.options import Recipe, SPDOptions, conflict
from spd.methods.simclr import SimCLR
from spd.methods.simsiam import SimSiam
from spd.methods.spd import WithSPD
from spd.methods.supervised import Supervised


def build(architecture: str, recipe: Recipe, spd: SPDOptions | None = None, *, classes: int) -> nn.Module:
    """The recipe's method around a new backbone, with the SPD term where `spd` has an eta above 0.

    Everything is drawn from torch's global generator, the SPD classifier last, so that a method starts from
    the same weights with and without SPD. `classes`: number of classes of the images. Raises ValueError where
    the SPD options cannot be combined.
    """
    backbone = build_backbone(architecture, zero_init_residual=recipe.zero_init_residual)
    dim = feature_dim(backbone)
    if recipe.method == "supervised":
        method = Supervised(backbone, dim, recipe, classes)
    else:
        method = {"simsiam": SimSiam, "moco": MoCo, "simclr": SimCLR}[recipe.method](backbone, dim, recipe)
    model = method
    if spd is not None and spd.eta > 0:
        if (reason := conflict(recipe, spd)) is not None:
            raise ValueError(f"spd: {reason}")
        model = WithSPD(method, spd, recipe.method)
    batchnorm.convert(model, recipe.batch_norm, recipe.batch_norm_group, recipe.batch_norm_momentum)
    return model


def base(model: nn.Module) -> nn.Module:
    """The base method inside `model`, with or without the SPD term around it."""
    return model.method if isinstance(model, WithSPD) else model
