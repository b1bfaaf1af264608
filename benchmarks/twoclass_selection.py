"""Chooses 2-class hyper-parameters on the training split alone; test images are never read.

    python benchmarks/twoclass_selection.py unet --images CACHE --draws DRAWS.csv --backbone FILE FILE \\
        --vary lr=1e-4,3e-4,1e-3 batch_norm=batch,frozen --vary min_steps=40,80 --set epochs=1

CACHE is an image cache, DRAWS.csv and the backbones are the workflow's own files. Each `--vary` is a stage:
every combination of its values is tried on top of what the stage before it chose. Of a stage, the candidate
with the highest mean over backbones, objects and draws wins; of equals, the first.
"""

import argparse
import itertools
import json
import statistics
from collections import defaultdict
from pathlib import Path

import torch
import yaml
from harness import table, write_section

from spd.config.model import _StrictLoader
from spd.data.cache import ImageCache
from spd.detectors.finetuned.draws import read_draws
from spd.detectors.finetuned.runs import Run, runs
from spd.detectors.finetuned.selection import held_out
from spd.detectors.registry import DETECTORS
from spd.files import file_sha256


def value(text: str):
    return yaml.load(text, _StrictLoader)


def combinations(stage: list[str]) -> list[dict]:
    """`a=1,2 b=3` -> {a: 1, b: 3}, {a: 2, b: 3}."""
    varied = {name: text.split(",") for name, text in (item.split("=", 1) for item in stage)}
    return [
        dict(zip(varied, map(value, chosen), strict=True)) for chosen in itertools.product(*varied.values())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=("classifier", "unet"))
    parser.add_argument("--images", required=True, help="an image cache")
    parser.add_argument("--draws", help="the CSV of draws; without one, folds of the whole split")
    parser.add_argument("--backbone", nargs="+", required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[10])
    parser.add_argument("--first-draws", type=int, default=2, help="use draws 0 to this, less one")
    parser.add_argument("--folds", type=int, default=2, help="of the whole split, where there are no draws")
    parser.add_argument("--vary", nargs="+", required=True, action="append", help="OPTION=VALUE,VALUE,...")
    parser.add_argument("--set", nargs="*", default=[], help="OPTION=VALUE, the same for all candidates")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measured", help="a file of what was measured: an interrupted selection goes on")
    parser.add_argument("--write", action="store_true", help="replace the table of docs/two-class.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options_of, cache = DETECTORS[arguments.detector].options, ImageCache(arguments.images)
    drawn = read_draws(arguments.draws) if arguments.draws else None
    chosen = {name: value(text) for name, text in (item.split("=", 1) for item in arguments.set)}
    metric = "pixel AU-PR" if arguments.detector == "unet" else "image AU-ROC"
    names = [Path(path).parent.name for path in arguments.backbone]  # .../<pre-training>/seed0.safetensors
    header, lines = f"{arguments.detector} | mean held-out {metric} | {' | '.join(names)} | measurements", []
    found = defaultdict(lambda: defaultdict(list))  # options -> backbone -> values
    wanted = runs(arguments.shots, arguments.first_draws) if drawn else [Run()]
    log = Path(arguments.measured) if arguments.measured else None
    known = dict(json.loads(line) for line in log.read_text().splitlines()) if log and log.exists() else {}

    def measure(options, path: str, run: Run) -> list[float]:
        """One value an object (and fold), from `--measured` where it is there."""
        about = [arguments.detector, options.model_dump(mode="json"), file_sha256(path), str(run)]
        about += [cache.geometry.model_dump(mode="json"), cache.split_hash, arguments.folds]
        key = json.dumps(about, sort_keys=True)
        if key not in known:
            given = arguments.detector, [options], [path], cache, drawn, [run]
            held = held_out(*given, folds=arguments.folds, progress=False)
            known[key] = [one.value for one in held if one.value is not None]
            print(Path(path).parent.name, run, options, known[key], flush=True)
            if log:
                with log.open("a") as file:
                    file.write(json.dumps([key, known[key]]) + "\n")
        return known[key]

    for stage in arguments.vary:
        candidates = {options_of(**chosen | choice): choice for choice in combinations(stage)}
        new = [options for options in candidates if options not in found]
        for run, path, options in itertools.product(wanted, arguments.backbone, new):
            for value_ in measure(options, path, run):
                found[options][path].append(100 * value_)
        means = {
            options: statistics.mean(itertools.chain(*found[options].values())) for options in candidates
        }
        best = max(means, key=means.get)
        for options in candidates:
            of = found[options]
            mark = "**" if options == best else ""
            words = ", ".join(f"{name} {setting}" for name, setting in candidates[options].items())
            each = [f"{statistics.mean(of[path]):.1f}" for path in arguments.backbone]
            count = sum(len(values) for values in of.values())
            lines.append((f"{mark}{words}{mark}", f"{means[options]:.1f}", *each, count))
        chosen |= candidates[best]
    markdown = table(header, lines)
    if arguments.write:
        write_section(f"selection-{arguments.detector}", markdown, "two-class.md")


if __name__ == "__main__":
    main()
