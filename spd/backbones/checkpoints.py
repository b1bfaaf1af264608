"""Reading the tensors, and nothing but the tensors, of somebody else's checkpoint."""

import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from spd.backbones.contents import AGAIN, contents
from spd.backbones.prefixes import without_torchs


class _Inert:
    """Stands for every pickled class that is not a tensor's: takes anything, keeps and does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


MOST_STUBS = 100  # of pickled classes; each is found by reading the file once more

CONTAINERS = (
    # where training scripts put the state dict; an average of the weights is taken where it is alone
    *("state_dict", "model", "model_state_dict", "net", "module"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher"),
)


def read_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], list[str], dict[str, int]]:
    """(state dict on the CPU, names of the pickled classes that were replaced by inert stubs, other state
    dicts beside it -> number of their tensors).

    Reads safetensors files, and torch.save's through torch's restricted unpickler (weights_only), which
    runs no code of the file: argparse namespaces, hydra configurations, numpy scalars and the like become
    stubs. The state dict is looked for at the top and under `CONTAINERS`; what torch's own wrappers add to
    keys (`module.`, `_orig_mod.`) is taken off.

    Raises FileNotFoundError, and ValueError for a file that the restricted reader refuses or that holds no
    state dict; it says what the file is.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file of the weights in it")
    tensors, stubs = (_read_safetensors(path), []) if _is_safetensors(path) else _read_pickle(path)
    beside: dict[str, int] = {}
    for _ in range(3):  # a pickle may contain itself
        found = [c for c in CONTAINERS if isinstance(tensors, dict) and isinstance(tensors.get(c), dict)]
        if not found:
            break
        others = {c: sum(isinstance(v, Tensor) for v in tensors[c].values()) for c in found[1:]}
        beside |= {container: count for container, count in others.items() if count}
        tensors = tensors[found[0]]
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
        places = f"{', '.join(CONTAINERS[:-1])} or {CONTAINERS[-1]}"
        raise ValueError(f"{path} holds {keys or 'nothing'}: no tensors at the top, or under {places}")
    return without_torchs(state), stubs, beside


def _is_safetensors(path: Path) -> bool:
    """By its content: the length of a JSON header, then the header; its name says nothing."""
    with path.open("rb") as file:
        length, brace = int.from_bytes(file.read(8), "little"), file.read(1)
    return brace == b"{" and length <= path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    # the library's reader: spd.tensors knows numpy's types alone, and others publish bfloat16
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is a safetensors file of {path.stat().st_size:,} bytes that cannot be read ({reason}): "
            f"its end is missing or it is damaged; {AGAIN}"
        ) from None


def _read_pickle(path: Path) -> tuple[object, list[str]]:
    stubs: list[str] = []
    while True:
        try:
            with (
                safe_globals([(_Inert, name) for name in stubs]),
                warnings.catch_warnings(),
                path.open("rb") as file,  # by its path torch would take a file named .safetensors for one
            ):
                warnings.simplefilter("ignore")  # deprecated storages: no reader can do anything about them
                return torch.load(file, map_location="cpu", weights_only=True), sorted(stubs)
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
    if what := contents(path):
        return f"{path} is {what}"
    if any(cut in message for cut in ("unexpected EOF", "Ran out of input", "truncated", "not enough data")):
        return (
            f"{path} is {path.stat().st_size:,} bytes of a pickle whose end is missing: half a download; "
            f"{AGAIN}"
        )
    telling = ("is blocked", "Can only", "tar format")
    reason = next((line.strip() for line in message.splitlines() if any(t in line for t in telling)), "")
    return (
        f"{path} holds more than tensors, or is no checkpoint, and is not read"
        f"{f' ({reason})' if reason else ''}; where you trust it, load it once and keep only its "
        f"state dict: "
        "torch.save(model.state_dict(), ...)"
    )
