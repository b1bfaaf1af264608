"""Chooses 2-class hyper-parameters by cross-validation inside the training draws; test images are never read.

    python benchmarks/twoclass_selection.py unet --images CACHE --draws DRAWS.csv --backbone FILE FILE \\
        --shots 10 --first-draws 2 --vary lr=1e-4,3e-4,1e-3 --set min_steps=60 epochs=1

CACHE is an image cache, DRAWS.csv and the backbones are the workflow's own files. The candidate with the
highest mean over backbones, objects, draws and folds wins; of equals, the first.
"""

import argparse
import itertools
import statistics
from collections import defaultdict

import torch
import yaml

from spd.config import _StrictLoader
from spd.images.cache import ImageCache
from spd.twoclass.draws import read_draws
from spd.twoclass.evaluation import OPTIONS
from spd.twoclass.runs import runs
from spd.twoclass.selection import cross_validate


def value(text: str):
    return yaml.load(text, _StrictLoader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=("classifier", "unet"))
    parser.add_argument("--images", required=True, help="an image cache")
    parser.add_argument("--draws", required=True, help="the CSV of draws")
    parser.add_argument("--backbone", nargs="+", required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[10])
    parser.add_argument("--first-draws", type=int, default=2, help="use draws 0 to this, less one")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--vary", nargs="+", required=True, help="OPTION=VALUE,VALUE,...")
    parser.add_argument("--set", nargs="*", default=[], help="OPTION=VALUE, the same for all candidates")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    fixed = {name: value(text) for name, text in (item.split("=", 1) for item in arguments.set)}
    varied = {name: text.split(",") for name, text in (item.split("=", 1) for item in arguments.vary)}
    choices = [
        dict(zip(varied, map(value, chosen), strict=True)) for chosen in itertools.product(*varied.values())
    ]
    names = {OPTIONS[arguments.detector](**fixed, **choice): choice for choice in choices}
    found = defaultdict(list)
    for held in cross_validate(
        arguments.detector,
        list(names),
        arguments.backbone,
        ImageCache(arguments.images),
        read_draws(arguments.draws),
        runs(arguments.shots, arguments.first_draws),
        folds=arguments.folds,
    ):
        if held.value is not None:
            found[held.options].append(100 * held.value)
    metric = "pixel AU-PR" if arguments.detector == "unet" else "image AU-ROC"
    print(f"| {' | '.join(varied)} | held-out {metric} | folds |")
    print("|---" * (len(varied) + 2) + "|")
    best = max(found, key=lambda options: statistics.mean(found[options]))
    for options, values in found.items():
        mark = "**" if options == best else ""
        cells = " | ".join(f"{mark}{setting}{mark}" for setting in names[options].values())
        print(f"| {cells} | {statistics.mean(values):.1f} | {len(values)} |")


if __name__ == "__main__":
    main()
