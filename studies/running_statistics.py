"""Which views should move BatchNorm's running statistics? PaDiM on real tiles, paired by seed.

    SPD_DATA=/your/folder OMP_NUM_THREADS=1 python -m studies.running_statistics     # resumable; half an hour
    python -m studies.running_statistics --report                                    # the table

SPD's two views pass the network in training, and PaDiM reads the backbone by the running statistics. Networks
from scratch as in studies.mechanism; rows that share a seed differ in `spd.running_statistics` alone.
"""

import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spd.corpus import Corpus
from spd.datasets import split_csv
from spd.detectors.options import PaDiMOptions
from spd.evaluation import evaluate
from spd.features.extraction import extract
from spd.images.cache import write_cache
from spd.images.options import GeometryOptions
from spd.methods.options import SPDOptions, parse_recipe
from spd.pretrain import pretrain
from studies import mechanism, runs
from studies.pictures import pictures

RESULTS = Path("results/studies/running_statistics.jsonl")
GEOMETRY = GeometryOptions(resize=96, mode="square")
PADIM = PaDiMOptions(dim=100)
SEEDS = 6
ETA = 0.1
METHODS = ("supervised", "simsiam", "moco", "simclr")
SUPERVISED = {"lr": 0.8, "schedule": "cosine", "schedule_by": "step"}  # preset demo's
CHOICES = (None, "method", "all")  # None: without SPD


def recipe_of(method: str) -> dict[str, Any]:
    """The recipe's values for a method."""
    if method == "supervised":
        return {"method": method, **mechanism.COMMON, **SUPERVISED}
    return mechanism.recipe_of(method)


def spd_of(choice: str | None) -> dict[str, Any]:
    """SPD's options of a row."""
    return {"eta": 0.0} if choice is None else {"eta": ETA, "running_statistics": choice}


def run(
    images: Corpus, method: str, choice: str | None, seed: int, tiles: Path, device: str
) -> dict[str, Any]:
    """Trains one backbone; its history's last line and PaDiM's metrics on the tiles, in points."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        summary = pretrain(
            images,
            architecture=mechanism.ARCHITECTURE,
            recipe=parse_recipe(recipe_of(method) | mechanism.AS_RUN.get(method, {})),
            spd=SPDOptions(**spd_of(choice)),
            seed=seed,
            backbone_path=folder / "backbone.safetensors",
            history_path=folder / "history.jsonl",
            checkpoint_path=folder / "checkpoint.pt",
            device=device,
            progress=False,
        )
        features = folder / "features.safetensors"
        extract(
            folder / "backbone.safetensors", tiles, mechanism.STAGES, features, device="cpu", progress=False
        )
        found = evaluate("padim", PADIM, tiles, features, folder / "maps.safetensors", progress=False)
    (result,) = found.values()
    points = {
        f"{task} {metric}": 100 * result[task][metric]
        for task in ("classification", "segmentation")
        for metric in ("AU-ROC", "AU-PR")
    }
    last = {key: value for key, value in summary["last"].items() if key != "step"}
    return {"points": points, "last": last, "seconds": round(time.monotonic() - began, 1)}


def configurations(images: Corpus, seeds: int) -> list[dict[str, Any]]:
    """Every run, seed by seed, each with its `key`."""
    listed = []
    for seed in range(seeds):
        for method in METHODS:
            for choice in CHOICES:
                told = {
                    "method": method,
                    "choice": choice,
                    "recipe": recipe_of(method),
                    "spd": spd_of(choice),
                }
                identity = {**told, "seed": seed, "data": images.digest}
                listed.append({**identity, "key": runs.key_of(identity)})
    return listed


def report(path: Path) -> str:
    """Markdown: effects of SPD under each choice, and what the choice itself does, in points; below it how
    often the supervised term's classifier is right."""
    finished = runs.load(path)
    points = {(r["method"], r["choice"], r["seed"]): r["points"] for r in finished}
    metrics = list(next(iter(points.values())))
    lines = [
        "| method | compared | seeds | " + " | ".join(metrics) + " |",
        "|---|---|---:|" + "---:|" * len(metrics),
    ]
    compared = {
        "SPD, `method`": ("method", None),
        "SPD, `all`": ("all", None),
        "`all` - `method`": ("all", "method"),
    }
    for method in METHODS:
        for words, (one, other) in compared.items():
            seeds = [s for m, c, s in points if (m, c) == (method, one) and (method, other, s) in points]
            cells = []
            for metric in metrics:
                pairs = [points[method, one, s][metric] - points[method, other, s][metric] for s in seeds]
                margin = 1.96 * np.std(pairs, ddof=1) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
                cells.append(f"{np.mean(pairs):+.1f} ± {margin:.1f}")
            lines.append(f"| {method} | {words} | {len(seeds)} | " + " | ".join(cells) + " |")
    right = [
        f"{100 * r['last']['perturbed_accuracy']:.1f}"
        for r in finished
        if r["method"] == "supervised" and r["choice"] == "method"
    ]
    lines += ["", f"Supervised + SPD, `method`, perturbed_accuracy by seed, %: {', '.join(right)}"]
    return "\n".join(lines)


def main() -> None:
    arguments = runs.options(__doc__.splitlines()[0], SEEDS, RESULTS).parse_args()
    if arguments.report:
        print(report(arguments.results))
        return
    source = Path(os.environ.get("SPD_DATA", "")) / "magnetic_tile"
    if not os.environ.get("SPD_DATA") or not source.is_dir():
        raise SystemExit("magnetic_tile is not there: set SPD_DATA to the folder that holds it")
    torch.set_num_threads(1)
    images, words = pictures(mechanism.CANVAS)
    print(words, flush=True)
    ran_by = {"device": runs.device_name(arguments.device), **runs.code_of(__file__)}
    with tempfile.TemporaryDirectory() as scratch:
        tiles = Path(scratch) / "tiles.safetensors"
        manifest = split_csv.read(source, csv="split_csv/1cls.csv", mask_threshold=127, defect_component=0)
        write_cache(manifest, None, GEOMETRY, tiles, progress=False)
        for told in runs.waiting(configurations(images, arguments.seeds), arguments):
            which = told["method"], told["choice"], told["seed"]
            result = run(images, *which, tiles, arguments.device)
            runs.add(arguments.results, {**told, "images": words, **ran_by, **result})
            print(
                *which, {k: round(v, 1) for k, v in result["points"].items()}, result["seconds"], flush=True
            )


if __name__ == "__main__":
    main()
