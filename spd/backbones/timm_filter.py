"""timm's own conversion of what the authors of a network published."""

from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor


def through_timm(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor] | None:
    """The state dict as timm converts it before it loads it (official files of Swin, DINOv2, DenseNet, CLIP,
    ...): keys renamed, buffers left out, position embeddings resampled to the network's own grid.

    None where timm has no network of that name, no conversion for it, or one that does not take these keys.
    """
    import timm

    name = architecture.rpartition(":")[2]
    if not timm.is_model(name):
        return None
    conversion, model = _conversion(name)
    if conversion is None:
        return None
    try:
        try:
            return conversion(dict(state), model)
        except TypeError:  # as timm does for conversions that take no model
            return conversion(dict(state))
    except Exception:  # written for the authors' keys: others can raise anything
        return None


def _conversion(name: str) -> tuple[Callable[..., dict[str, Tensor]] | None, Any]:
    """(the function that timm would call, the network without values).

    Each family names and configures its own, and gives it to nobody but `load_pretrained`: so we look at
    that call.
    """
    import timm

    with mock.patch("timm.models._builder.load_pretrained") as load, torch.device("meta"):
        overlay = {"state_dict": {"none": None}, "custom_load": False}
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    return (load.call_args.kwargs.get("filter_fn") if load.call_args else None), model
