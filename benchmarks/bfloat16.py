"""What bfloat16 features do to the metrics, on real photographs and real ImageNet weights (lite0).

Solar cells (wheel `elpv-dataset`, no masks) and, where SPD_DATA holds them, magnetic tiles; 224 x 224,
PaDiM (d = 100) and PatchCore with their defaults. Features are extracted twice from the same cache and
backbone, in float32 and in bfloat16; everything after them is the same.
"""

import tempfile
from pathlib import Path

import magnetic_tile
import numpy as np
from harness import benchmark, table

from spd.data.cache import write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import Manifest, make
from spd.data.readers.elpv import packaged_root
from spd.data.readers.registry import read_dataset
from spd.detectors.evaluation import evaluate
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.registry import DETECTORS
from spd.features.extraction import extract
from spd.features.store import Features

METRICS = {"classification": ("AU-ROC", "AU-PR"), "segmentation": ("AU-ROC", "AU-PR", "AU-PRO")}
OPTIONS = {"padim": PaDiMOptions(dim=100), "patchcore": PatchCoreOptions()}


def some(manifest: Manifest, train: int, test: int) -> Manifest:
    """Evenly spread rows: `train` training images, `test` normal and `test` anomalous test images."""
    rows, parts = manifest.rows, []
    for split, label, count in (
        ("train", "normal", train),
        ("test", "normal", test),
        ("test", "anomaly", test),
    ):
        of = rows.index[(rows["split"] == split) & (rows["label"] == label)]
        parts.append(of[np.linspace(0, len(of) - 1, min(count, len(of))).astype(int)])
    return make(rows.loc[np.unique(np.concatenate(parts))], manifest.root, manifest.mask_threshold or 0)


def manifests() -> dict[str, Manifest]:
    read = {"solar cells": read_dataset("elpv", packaged_root(), "1cls", objects=["mono"])}
    if root := magnetic_tile.root():
        tiles = read_dataset("split_csv", root, "1cls", csv="split_csv/1cls.csv", mask_threshold=127)
        read["magnetic tiles"] = tiles
    return read


def compare(manifest: Manifest, folder: Path) -> tuple[float, list[tuple[str, str, float, float]]]:
    """Relative difference of the features (norm), and (detector, metric, float32, bfloat16) in %."""
    backbone, cache, results = magnetic_tile.lite0(folder), folder / "cache", {}
    write_cache(manifest, None, GeometryOptions(resize=224), cache, progress=False)
    for precision in ("float32", "bfloat16"):
        path = folder / precision
        extract(backbone, cache, magnetic_tile.STAGES, path, precision=precision, threads=1, progress=False)
        for detector, options in OPTIONS.items():
            by_object = evaluate(detector, options, cache, path, folder / "maps", progress=False)
            results[precision, detector] = next(iter(by_object.values()))
    exact, rough = Features(folder / "float32"), Features(folder / "bfloat16")
    name = exact.objects[0]
    maps = [(exact.maps(name, stage), rough.maps(name, stage)) for stage in exact.stages]
    difference = max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in maps)
    rows = []
    for detector in OPTIONS:
        for task, metrics in METRICS.items():
            pair = [results[precision, detector][task] for precision in ("float32", "bfloat16")]
            for metric in metrics if None not in pair else ():
                values = [100 * part[metric] for part in pair]
                rows.append((DETECTORS[detector].label, f"{task}, {metric}", *values))
    return difference, rows


def measure(options) -> str:
    rows, differences = [], []
    for source, manifest in manifests().items():
        with tempfile.TemporaryDirectory() as folder:
            difference, compared = compare(some(manifest, options.train, options.test), Path(folder))
        differences.append(f"{100 * difference:.1f} % ({source})")
        for *names, a, b in compared:
            rows.append((source, *names, f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}"))
    return f"""EfficientNet-Lite0 with its ImageNet weights, 224 px, {options.train} training images,
{options.test} normal and {options.test} anomalous test images each. Features differ by
{", ".join(differences)} (norm of the difference over the norm, the worst stage).

{table("images | detector | metric, % | float32 | bfloat16 | difference", rows)}"""


if __name__ == "__main__":
    title = "### What bfloat16 features do to the metrics"
    benchmark(measure, "bfloat16", title, {"train": (100, 8), "test": (100, 4)})
