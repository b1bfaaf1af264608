"""The one format backbones are kept in: safetensors with the architecture's own keys, and metadata that says
what they are."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spd.backbones.architectures import build
from spd.backbones.normalisation import IMAGENET_MEAN, IMAGENET_STD
from spd.tensors import open_tensors, write_tensors


@dataclass(frozen=True)
class Metadata:
    """What a backbone file says about itself."""

    architecture: str
    mean: tuple[float, float, float]
    """Of the input channels, RGB in [0, 1]."""
    std: tuple[float, float, float]
    more: dict[str, Any] = field(default_factory=dict)
    """Everything else: method, eta, seed, steps, hashes of recipe, data and code, ..."""


def expected(architecture: str) -> dict[str, Tensor]:
    """The state dict of the architecture without its classifier, on the meta device: keys, shapes and dtypes,
    no values."""
    with torch.device("meta"):
        return build(architecture).state_dict()


def export(model: nn.Module, path: Path | str, *, architecture: str, metadata: Mapping[str, Any]) -> None:
    """Writes the model's weights, without a classifier's, atomically.

    `metadata` is any JSON; `mean` and `std` are the input normalisation (default ImageNet's).
    Raises ValueError if the model is not of `architecture`, or a weight is not finite.
    """
    save(model.state_dict(), path, architecture=architecture, metadata=metadata)


def save(
    state: Mapping[str, Tensor], path: Path | str, *, architecture: str, metadata: Mapping[str, Any]
) -> None:
    """`export` for a state dict."""
    want = expected(architecture)
    head = classifier_keys(architecture, state)
    check_keys(
        {key: value for key, value in state.items() if key not in head},
        architecture,
        where=f"cannot write {path}",
    )
    not_finite = [
        key for key in want if state[key].is_floating_point() and not torch.isfinite(state[key]).all()
    ]
    if not_finite:
        raise ValueError(f"cannot write {path}: weights that are not finite: {', '.join(not_finite[:5])}")
    document = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, **metadata, "architecture": architecture}
    write_tensors(
        path,
        {key: state[key].detach().to("cpu", want[key].dtype).contiguous().numpy() for key in want},
        {key: json.dumps(value, sort_keys=True) for key, value in document.items()},
    )


def read_metadata(path: Path | str) -> Metadata:
    """Reads only the file's header. Raises ValueError if it is no backbone file."""
    return _parse(open_tensors(path)[1], path)


def load(path: Path | str) -> tuple[nn.Module, Metadata]:
    """(model without a classifier, in eval mode on the CPU, metadata). Nothing is unpickled.

    Raises ValueError if the keys or shapes are not exactly the architecture's, naming the first five that
    differ.
    """
    state, metadata = _read(path)
    # Before anything of that size is created.
    check_keys(state, metadata.architecture, where=str(path))
    # The initial weights are thrown away, so they take nothing from the caller's generator.
    with torch.random.fork_rng(devices=[]):
        model = build(metadata.architecture)
    model.load_state_dict(state, strict=True)
    return model.eval(), metadata


def load_into(model: nn.Module, path: Path | str, *, architecture: str) -> Metadata:
    """Loads a backbone file into a model of the same architecture, to continue its training; a classifier of
    the model is left as it is.

    Raises ValueError if the file's architecture is another one or its keys differ.
    """
    state, metadata = _read(path)
    if metadata.architecture != architecture:
        raise ValueError(f"{path} holds {metadata.architecture!r}, which cannot initialise {architecture!r}")
    check_keys(state, architecture, where=str(path))
    model.load_state_dict(state, strict=False)  # the check above was strict about all but the classifier
    return metadata


def classifier_keys(architecture: str, state: Mapping[str, Tensor]) -> list[str]:
    """The keys of a whole network's state dict that belong to its classifier."""
    known = set(expected(architecture))
    with torch.device("meta"):
        whole = set(build(architecture, num_classes=2).state_dict())
    return [key for key in state if key in whole - known]


def check_keys(state: Mapping[str, Tensor], architecture: str, *, where: str) -> None:
    """Raises ValueError if keys or shapes are not the architecture's (without classifier), with keys that are
    there and the first five that differ."""
    try:
        want = expected(architecture)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    differences = [f"{key} is missing" for key in want if key not in state]
    differences += [f"{key} is unknown" for key in state if key not in want]
    differences += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(want[key].shape)}"
        for key in want
        if key in state and state[key].shape != want[key].shape
    ]
    differences += [
        f"{key} is {state[key].dtype}, not {want[key].dtype}"
        for key in want
        if key in state
        and (state[key].is_complex() or state[key].is_floating_point() != want[key].is_floating_point())
    ]
    if differences:
        differences = [one if one.isprintable() else repr(one) for one in differences]
        differences = [f"{one:.200}" for one in differences]
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        telling = {key: value for key, value in state.items() if key not in want} or state
        held = f"{len(state)} tensors with keys like {examples(telling)}" if state else "no tensors"
        raise ValueError(
            f"{where}: holds {held}; not the weights of {architecture}: {'; '.join(differences[:5])}{more}"
        )


def examples(state: Mapping[str, Tensor]) -> str:
    """A key of each of the first four parts of a state dict."""
    first: dict[str, str] = {}
    for key in state:
        first.setdefault(key.partition(".")[0], key)
    shown = ", ".join((key if key.isprintable() else repr(key))[:80] for key in list(first.values())[:4])
    return f"{shown}, ..." if len(first) > 4 else shown


def _read(path: Path | str) -> tuple[dict[str, Tensor], Metadata]:
    arrays, metadata = open_tensors(path)
    # copied: a model must not stay tied to a read-only file
    return {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}, _parse(metadata, path)


def _parse(metadata: Mapping[str, str], path: Path | str) -> Metadata:
    try:
        values = {key: json.loads(value) for key, value in metadata.items()}
        architecture, mean, std = (values.pop(key) for key in ("architecture", "mean", "std"))
        mean, std = (tuple(map(float, three)) for three in (mean, std))
        if not isinstance(architecture, str) or not len(mean) == len(std) == 3:
            raise ValueError
        if not all(map(math.isfinite, mean + std)) or min(std) <= 0:
            raise ValueError
        return Metadata(architecture, mean, std, values)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(
            f"{path} does not say architecture, mean and std, so it is no backbone of this project; "
            "import it with source torchvision or timm"
        ) from None
