"""Feature extraction: the cut, folded, channels-last network against the peers' ways, with the same weights.

python benchmarks/features.py [--write]
"""

import argparse
import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import machine, write_section

from spd.backbones.architectures import build
from spd.backbones.files import export, load
from spd.backbones.stages import stage_names
from spd.features.extraction import Network

REPEATS = 3
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


def measure(
    architecture, stages, side, count, in_timm, threads, folder
) -> tuple[dict[str, float], float, float]:
    """(variant -> images/s over the whole network's, largest deviation in float32, deviation in bfloat16)."""
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
        names = stage_names(whole)
        # timm counts a ResNet's stem as its first stage
        offset = 0 if in_timm.startswith("tf_") else 1
        peer = timm.create_model(
            in_timm, features_only=True, out_indices=[names.index(stage) + offset for stage in stages]
        ).eval()
        missing = peer.load_state_dict(copy.deepcopy(whole.state_dict()), strict=False).missing_keys
        assert not missing, missing
        variants["timm"] = lambda: peer(normalised())

    clock = time.process_time if threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in variants}
    with torch.inference_mode():
        for repeat in range(REPEATS + 1):
            for name, run in variants.items():
                begin = clock()
                run()
                if repeat:  # the first is a warm-up
                    times[name].append(clock() - begin)
        want, got, got_rough = dict(kept), ours(images), rough(images)
    ratios = {
        name: statistics.median(a / b for a, b in zip(times["whole"], times[name], strict=True))
        for name in variants
    }
    largest = max(float((want[s] - got[s]).abs().max() / want[s].abs().max()) for s in stages)
    relative = max(float((want[s] - got_rough[s]).norm() / want[s].norm()) for s in stages)
    return ratios, largest, relative


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            for threads in arguments.threads:
                ratios, largest, relative = measure(*case, threads, Path(folder))
                peer = f"{ratios['timm']:.2f}" if "timm" in ratios else ""
                rows.append(
                    f"| {case[0]}, {case[2]} px, to {case[1][-1]} | {threads} | {peer} | "
                    f"{ratios['ours']:.2f} | "
                    f"{ratios['bf16']:.2f} | {largest:.0e} | {100 * relative:.1f} % |"
                )
    table = "\n".join(rows)
    markdown = f"""## Features

Random weights, the same images in all variants. Images per second as a multiple of the whole network's in
eager mode (the way of xiahaifeng's PaDiM), in the same run, median of {REPEATS} repeats; CPU time with one
thread, wall time with more. `python benchmarks/features.py --write`

| backbone | threads | timm features_only (anomalib) | ours | ours, bf16 | deviation | of bf16 |
|---|---|---|---|---|---|---|
{table}

Ours is cut after the last stage needed, folded, channels last, and takes images in blocks of 4 to 16, each on
one thread: the peers take all at once, on all threads. Deviation: largest difference to the whole
network, relative to the largest feature; for bf16 the norm of the difference relative to the features' norm.

{machine()}"""
    print(markdown)
    if arguments.write:
        write_section("features", markdown)


if __name__ == "__main__":
    main()
