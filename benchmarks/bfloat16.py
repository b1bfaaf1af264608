"""What bfloat16 features do to the metrics, on real photographs and real ImageNet weights (lite0).

    SPD_DATA=... python benchmarks/bfloat16.py [--write]

Solar cells (wheel `elpv-dataset`, no masks) and, where SPD_DATA holds them, magnetic tiles; 224 x 224,
PaDiM (d = 100) and PatchCore with their defaults. Features are extracted twice from the same cache and
backbone, in float32 and in bfloat16; everything after them is the same.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import magnetic_tile
from report import machine, write_section

from spd.data.cache import write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import Manifest, make
from spd.data.readers.registry import read_dataset
from spd.detectors.evaluation import evaluate
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.registry import DETECTORS
from spd.features.extraction import extract
from spd.features.store import Features

METRICS = (
    ("classification", "AU-ROC"),
    ("classification", "AU-PR"),
    ("segmentation", "AU-ROC"),
    ("segmentation", "AU-PR"),
    ("segmentation", "AU-PRO"),
)
OPTIONS = {"padim": PaDiMOptions(dim=100), "patchcore": PatchCoreOptions()}


def some(manifest: Manifest, train: int, test: int) -> Manifest:
    """Evenly spread rows: `train` training images, `test` normal and `test` anomalous test images."""
    rows, parts = manifest.rows, []
    for split, label, count in (
        ("train", "normal", train),
        ("test", "normal", test),
        ("test", "anomaly", test),
    ):
        found = rows.index[(rows["split"] == split) & (rows["label"] == label)]
        parts.append(found[np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)])
    chosen = rows.loc[np.unique(np.concatenate(parts))]
    return make(chosen, manifest.root, manifest.mask_threshold or 0)


def manifests(train: int, test: int) -> dict[str, Manifest]:
    from spd.data.readers.elpv import packaged_root

    found = {
        "solar cells": some(read_dataset("elpv", packaged_root(), "1cls", objects=["mono"]), train, test)
    }
    if magnetic_tile.root() is not None:
        tiles = read_dataset(
            "split_csv", magnetic_tile.root(), "1cls", csv="split_csv/1cls.csv", mask_threshold=127
        )
        found["magnetic tiles"] = some(tiles, train, test)
    return found


def compare(manifest: Manifest, folder: Path) -> tuple[float, list[tuple[str, str, str, float, float]]]:
    """Relative difference of the features (norm), and (detector, task, metric, float32, bfloat16) in %."""
    backbone, cache = magnetic_tile.lite0(folder), folder / "cache"
    write_cache(manifest, None, GeometryOptions(resize=224), cache, progress=False)
    results = {}
    for precision in ("float32", "bfloat16"):
        path = folder / precision
        extract(backbone, cache, magnetic_tile.STAGES, path, precision=precision, threads=1, progress=False)
        for detector, options in OPTIONS.items():
            found = evaluate(detector, options, cache, path, folder / "maps", progress=False)
            results[precision, detector] = next(iter(found.values()))
    exact, rough = Features(folder / "float32"), Features(folder / "bfloat16")
    name = exact.objects[0]
    difference = max(
        float(np.linalg.norm(exact.maps(name, s) - rough.maps(name, s)) / np.linalg.norm(exact.maps(name, s)))
        for s in exact.stages
    )
    rows = []
    for detector in OPTIONS:
        for task, metric in METRICS:
            pair = [results[precision, detector][task] for precision in ("float32", "bfloat16")]
            if None not in pair:
                rows.append((DETECTORS[detector].label, task, metric, *(100 * part[metric] for part in pair)))
    return difference, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--test", type=int, default=100, help="images of each class")
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines, differences = [], []
    for source, manifest in manifests(arguments.train, arguments.test).items():
        with tempfile.TemporaryDirectory() as folder:
            difference, rows = compare(manifest, Path(folder))
        differences.append(f"{100 * difference:.1f} % ({source})")
        for detector, task, metric, exact, rough in rows:
            cells = (source, detector, f"{task}, {metric}", f"{exact:.2f}", f"{rough:.2f}")
            lines.append("| " + " | ".join([*cells, f"{rough - exact:+.2f}"]) + " |")
            print(lines[-1], file=sys.stderr, flush=True)
    table = "\n".join(lines)
    markdown = f"""### What bfloat16 features do to the metrics

`SPD_DATA=... python benchmarks/bfloat16.py --write`: EfficientNet-Lite0 with its ImageNet weights, 224 px,
{arguments.train} training images, {arguments.test} normal and {arguments.test} anomalous test images each.
Features differ by {", ".join(differences)} (norm of the difference over the norm, the worst stage).

| images | detector | metric, % | float32 | bfloat16 | difference |
|---|---|---|---|---|---|
{table}

{machine()}"""
    print(markdown)
    if arguments.write:
        write_section("bfloat16", markdown)


if __name__ == "__main__":
    main()
