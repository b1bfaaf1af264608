"""Looks networks up by name without their weights: which there are not, which cannot be trained, which lack a
stage.

    python -m spd.backbones.lookup '[["key", "timm:vit_tiny_patch16_224", ["blocks.0"], false]]'

prints a JSON list of lines. A process of its own, because torch and timm stay in the memory of whoever
imports them.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence

import torch

from spd.backbones import architectures
from spd.backbones.stages import stage_names

Asked = tuple[str, str, Sequence[str], bool]
"""(key in the configuration, architecture, stages, whether it is to be trained here)."""


def problems(asked: Iterable[Asked]) -> Iterator[str]:
    """A line for each network that cannot be had as asked."""
    for key, architecture, stages, trained in asked:
        try:
            model = _without_weights(architecture)
            known = stage_names(model)
            if trained:
                architectures.feature_dim(model)
        except ValueError as error:
            yield f"{key}: {error}"
            continue
        if unknown := [stage for stage in stages if stage not in known]:
            yield f"{key}: no stage {', '.join(unknown)}; {architecture} has {', '.join(known)}"


def _without_weights(architecture: str) -> torch.nn.Module:
    try:
        with torch.device("meta"):
            return architectures.build(architecture)
    except NotImplementedError:  # torchvision's RegNets look at a number while they are built
        return architectures.build(architecture)


if __name__ == "__main__":
    print(json.dumps(list(problems(json.loads(sys.argv[1])))))
