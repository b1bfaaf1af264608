"""The prefixes that wrappers put before a network's keys."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

AVERAGES = {"ema", "ema_model", "model_ema", "averaged_model", "average_model"}
_WORDS = sorted({"module", "model", "net", "network", "backbone"} | AVERAGES)
_LEADING = re.compile(rf"(?:(?:{'|'.join(_WORDS)})\.){{0,8}}")
# torch's own wrappers of a module, which may stand around any part of a network
_ANYWHERE = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def without_torchs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without what torch's wrappers add to keys: `_orig_mod.` of torch.compile (and those of
    FSDP and of activation checkpointing) anywhere, `module.` of DistributedDataParallel before all keys."""
    bare = {_ANYWHERE.sub("", key): value for key, value in state.items()}
    state = bare if len(bare) == len(state) else dict(state)
    while state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def unwrapped(
    state: Mapping[str, Tensor], fits: Callable[[Mapping[str, Tensor]], bool]
) -> tuple[dict[str, Tensor], str]:
    """(what lies below the wrappers' prefix, under its own keys; that prefix).

    The prefix is the shortest made of the usual words (`model.`, `net.module.`, ...) below which the network
    `fits`, an average's (`ema.`) last; where it fits below none, what all keys begin with.
    """
    leads = {_LEADING.match(key)[0] for key in state}
    starts = {lead[: at + 1] for lead in leads for at, letter in enumerate(lead) if letter == "."}
    for prefix in sorted({"", *starts}, key=lambda p: (not AVERAGES.isdisjoint(p.split(".")), len(p), p)):
        inside = _below(state, prefix)
        if fits(inside):
            return inside, prefix
    shared = [start for start in starts if all(lead.startswith(start) for lead in leads)]
    prefix = max(shared, key=len, default="")
    return _below(state, prefix), prefix


def ways_to(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Every prefix of wrappers before `prefix` with which keys begin, shortest first: `model.` of
    `model.encoder.`."""
    leads = {key.partition(prefix)[0] for key in state if prefix in key}
    return sorted((lead for lead in leads if _LEADING.fullmatch(lead)), key=len)


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
