"""Reading the tensors, and nothing but the tensors, of somebody else's checkpoint."""

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.serialization import safe_globals

from spd.tensors import open_tensors


class _Inert:
    """Stands for every pickled class that is not a tensor's: takes anything, keeps and does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


MOST_STUBS = 100  # of pickled classes; each is found by reading the file once more


def read_state_dict(path: Path | str) -> tuple[dict[str, Tensor], list[str]]:
    """(state dict on the CPU, names of the pickled classes that were replaced by inert stubs).

    Reads .safetensors, and torch.save's files through torch's restricted unpickler (weights_only), which
    runs no code of the file: argparse namespaces, hydra configurations, numpy scalars and the like become
    stubs. The state dict is looked for at the top, under `state_dict` and under `model`; the prefix
    `module.` of DistributedDataParallel and `_orig_mod.` of torch.compile are taken off.

    Raises FileNotFoundError, and ValueError for a file that the restricted reader refuses or that holds no
    state dict.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        tensors, stubs = (
            {key: torch.from_numpy(array.copy()) for key, array in open_tensors(path)[0].items()},
            [],
        )
    else:
        tensors, stubs = _read_pickle(path)
    for container in ("state_dict", "model"):
        if isinstance(tensors, dict) and isinstance(tensors.get(container), dict):
            tensors = tensors[container]
            break
    if not isinstance(tensors, dict):
        raise ValueError(f"{path} holds a whole object, not a state dict; save model.state_dict() instead")
    state = {key: value for key, value in tensors.items() if isinstance(value, Tensor)}
    odd = [
        str(key)
        for key, value in state.items()
        if not isinstance(key, str) or value.layout != torch.strided or value.is_meta or value.is_quantized
    ]
    if odd:
        raise ValueError(f"{path}: not dense tensors with names: {', '.join(odd[:5])[:200]}")
    if not state:
        keys = ", ".join(f"{key!s:.80}" for key in list(tensors)[:5])
        raise ValueError(f"{path}: no tensors at the top, under state_dict or under model (keys: {keys})")
    for wrapper in ("module.", "_orig_mod."):
        if all(key.startswith(wrapper) for key in state):
            state = {key.removeprefix(wrapper): value for key, value in state.items()}
    return state, stubs


def _read_pickle(path: Path) -> tuple[object, list[str]]:
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint {path}")
    stubs: list[str] = []
    while True:
        try:
            with safe_globals([(_Inert, name) for name in stubs]), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated storages: no reader can do anything about them
                return torch.load(path, map_location="cpu", weights_only=True), sorted(stubs)
        except MemoryError:
            raise ValueError(f"{path} claims more than the memory that is left, and is not read") from None
        except Exception as error:  # a damaged pickle or zip can raise anything
            # one class is named at a time; modules that reach the system (os, sys) are refused for good
            unknown = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            name = unknown and (unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}")
            if name is None or name in stubs or len(stubs) == MOST_STUBS:
                raise ValueError(_refusal(path, str(error))) from error
            stubs.append(name)


def _refusal(path: Path, message: str) -> str:
    telling = ("is blocked", "Can only", "tar format")
    reason = next((line.strip() for line in message.splitlines() if any(t in line for t in telling)), "")
    return (
        f"{path} holds more than tensors, or is no checkpoint, and is not read"
        f"{f' ({reason})' if reason else ''}; where you trust it, load it once and keep only its "
        f"state dict: "
        "torch.save(model.state_dict(), ...)"
    )
