"""Feature extraction: the cut, folded, channels-last network against the peers' ways, with equal weights."""

import copy
import statistics
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
from harness import benchmark, ratios, table, take_turns
from torch import nn

from spd.backbones.architectures import build
from spd.backbones.files import export, load
from spd.backbones.stages import stage_names
from spd.features.extraction import Network

# architecture, stages, side, images per repeat, name in timm
CASES = (
    ("wide_resnet50_2", ("layer2", "layer3"), 224, 16, "wide_resnet50_2"),
    ("resnet50", ("layer1", "layer2", "layer3"), 224, 16, "resnet50"),
    ("timm:tf_efficientnet_lite0", ("blocks.1", "blocks.2", "blocks.4"), 224, 16, "tf_efficientnet_lite0"),
    ("resnet18_w16", ("layer1", "layer2", "layer3"), 128, 32, None),
)


def lively(architecture: str) -> nn.Module:
    """Random weights whose BatchNorms do something."""
    torch.manual_seed(0)
    model = build(architecture)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return model


@torch.inference_mode()
def row(architecture, stages, side, count, in_timm, threads, repeats, folder) -> tuple[str, ...]:
    torch.set_num_threads(threads)
    export(lively(architecture), folder / "b", architecture=architecture, metadata={})
    whole, metadata = load(folder / "b")
    images = np.random.default_rng(0).integers(0, 256, (count, 3, side, side), np.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (metadata.mean, metadata.std))
    kept = {}
    for stage in stages:
        whole.get_submodule(stage).register_forward_hook(lambda m, i, o, stage=stage: kept.update({stage: o}))
    ours = Network(folder / "b", stages, (side, side))
    rough = Network(folder / "b", stages, (side, side), precision="bfloat16")

    def normalised():
        return (torch.from_numpy(images).float() / 255 - mean) / std

    variants = {
        "whole": lambda: whole(normalised()),
        "ours": lambda: ours(images),
        "bf16": lambda: rough(images),
    }
    if in_timm is not None:
        # timm counts a ResNet's stem as its first stage
        offset = 0 if in_timm.startswith("tf_") else 1
        indices = [stage_names(whole).index(stage) + offset for stage in stages]
        peer = timm.create_model(in_timm, features_only=True, out_indices=indices).eval()
        missing = peer.load_state_dict(copy.deepcopy(whole.state_dict()), strict=False).missing_keys
        assert not missing, missing
        variants["timm"] = lambda: peer(normalised())
    seconds = take_turns(variants, threads, repeats)
    want, got, got_rough = dict(kept), ours(images), rough(images)
    faster = {name: statistics.median(ratios(seconds["whole"], each)) for name, each in seconds.items()}
    largest = max(float((want[s] - got[s]).abs().max() / want[s].abs().max()) for s in stages)
    relative = max(float((want[s] - got_rough[s]).norm() / want[s].norm()) for s in stages)
    speeds = [f"{faster[name]:.2f}" if name in faster else "" for name in ("timm", "ours", "bf16")]
    case = f"{architecture}, {side} px, to {stages[-1]}"
    return case, str(threads), *speeds, f"{largest:.0e}", f"{100 * relative:.1f} %"


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES[-1:] if options.quick else CASES:
            for threads in options.threads_compared:
                yield row(*case, threads, options.repeats, Path(folder))


def measure(options) -> str:
    header = "backbone | threads | timm features_only (anomalib) | ours | ours, bf16 | deviation | of bf16"
    return f"""Random weights, the same images in all variants. Images per second as a multiple of the whole
network's in eager mode (the way of xiahaifeng's PaDiM), in the same run, median of {options.repeats} repeats;
CPU time with one thread, wall time with more.

{table(header, rows(options))}

Ours is cut after the last stage needed, folded, channels last, and takes images in blocks of 4 to 16,
each on one thread: the peers take all at once, on all threads. Deviation: largest difference to
the whole network, relative to the largest feature; for bf16 the norm of the difference relative to
the features' norm."""


if __name__ == "__main__":
    benchmark(measure, "features", "## Features", {"threads_compared": ([1, 2], [1]), "repeats": (3, 1)})
