"""Pixel metrics: our five from one sweep against the two of scikit-learn and of anomalib.

    python benchmarks/metrics.py [--megapixels 10 50] [--huge] [--write]

Each entrant runs in a process of its own, on the same generated maps, on one thread; the table gives the
median CPU time of three calls after a warm-up on small maps (which compiles or loads our kernels), and the
peak memory of the whole process, of which 5 bytes a pixel are the maps and masks themselves. `--huge` adds
200 megapixels, ours only. anomalib takes part where it is installed (`pip install -e '.[parity]'`).
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from spd.metrics.pixel import pixel_metrics

SIZE = 256
REPEATS = 3
STAGES = {
    "region_pixels": "regions and positive scores",
    "sort": "sorting the positive scores",
    "count_pixels": "counting all pixels between them",
}


def write_maps(folder: Path, megapixels: int, kind: str) -> None:
    """maps.npy (N, 256, 256) float32 and masks.npy uint8; every second image holds one to three ellipses.

    `kind`: "distances" (smooth, around 18, as PaDiM's), "logits" (smooth, of both signs), "unordered"
    (distances whose pixels are independent: the worst case for caches).
    """
    rng = np.random.default_rng(megapixels)
    n = round(megapixels * 1e6 / SIZE**2)
    maps = np.lib.format.open_memmap(folder / "maps.npy", "w+", np.float32, (n, SIZE, SIZE))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, (n, SIZE, SIZE))
    for i in range(n):
        noise = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
        if kind != "unordered":
            noise = cv2.GaussianBlur(noise, (0, 0), 4)
            noise /= noise.std()
        mask = np.zeros((SIZE, SIZE), np.uint8)
        for _ in range(int(rng.integers(1, 4)) if i % 2 else 0):
            centre = [int(v) for v in rng.integers(25, SIZE - 25, 2)]
            axes = [int(v) for v in rng.integers(5, 25, 2)]
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
        z = noise + 2 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 4)
        maps[i] = z - 2 if kind == "logits" else 4 * np.sqrt(np.abs(3 * z + 20))
        masks[i] = mask


def ours(maps, masks):
    return pixel_metrics(maps, masks)


def scikit_learn(maps, masks):
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth, scores = masks.ravel(), maps.ravel()
    return {"AU-ROC": roc_auc_score(truth, scores), "AP": average_precision_score(truth, scores)}


def anomalib(maps, masks):
    """Its AUROC and AUPR metrics (torchmetrics' beneath), fed in batches of 32 images as its engine does."""
    import torch
    from anomalib.metrics.aupr import _AUPR
    from anomalib.metrics.auroc import _AUROC

    torch.set_num_threads(1)
    # Its post-processor scales scores to [0, 1], from the extremes of the test set.
    low, high = float(maps.min()), float(maps.max())
    auroc, aupr = _AUROC(), _AUPR()
    for start in range(0, len(maps), 32):
        scores = (torch.from_numpy(maps[start : start + 32]) - low) / (high - low)
        truth = torch.from_numpy(masks[start : start + 32]).long()
        for metric in (auroc, aupr):
            metric.update(scores.flatten(), truth.flatten())
    return {"AU-ROC": float(auroc.compute()), "AP": float(aupr.compute())}


ENTRANTS = {"ours": ours, "scikit-learn": scikit_learn, "anomalib": anomalib}


def measure(entrant: str, folder: Path) -> dict:
    """Runs in a child process: CPU seconds of each call, its peak bytes, values, shares of our stages."""
    run = ENTRANTS[entrant]
    small = np.zeros((2, 32, 32), np.float32)
    small[0, :3] = np.arange(32)
    run(small, (small > 8).astype(np.uint8))
    maps, masks = np.load(folder / "maps.npy"), np.load(folder / "masks.npy")
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        values = run(maps, masks)
        seconds.append(time.process_time() - start)
    result = {
        "seconds": seconds,
        "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "values": values,
        "positive": float(masks.mean()),
    }
    start = time.process_time()
    int(maps.view(np.uint32).max()) + int(masks.max())
    result["read"] = time.process_time() - start
    if entrant == "ours":
        profile = cProfile.Profile(time.process_time)
        profile.runcall(run, maps, masks)
        stats = pstats.Stats(profile)
        result["stages"] = {
            label: sum(row[2] for (_, _, name), row in stats.stats.items() if stage in name) / stats.total_tt
            for stage, label in STAGES.items()
        }
    return result


def child(entrant: str, folder: Path) -> dict:
    command = [sys.executable, __file__, "--entrant", entrant, "--folder", str(folder)]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **one_thread})
    return json.loads(finished.stdout)


def row(megapixels: int, kind: str, entrants: list[str], folder: Path) -> list[str]:
    write_maps(folder, megapixels, kind)
    results = {name: child(name, folder) for name in entrants}
    own = results["ours"]
    own_time = statistics.median(own["seconds"])
    lines = []
    for name, result in results.items():
        seconds = statistics.median(result["seconds"])
        difference = max(
            abs(result["values"][key] - own["values"][key])
            for key in result["values"]
            if key in own["values"]
        )
        lines.append(
            f"| {megapixels} | {kind} | {name} | {len(result['values'])} | "
            f"{1e3 * seconds / megapixels:.1f} | {seconds / own_time:.1f} | {result['memory'] / 2**30:.2f} | "
            + ("" if name == "ours" else f"{difference:.0e}")
            + " |"
        )
    stages = ", ".join(f"{label} {100 * share:.0f} %" for label, share in own["stages"].items())
    note = (
        f"* {megapixels} Mpx, {kind} ({100 * own['positive']:.1f} % positive): {stages}; "
        f"reading maps and masks once takes {100 * own['read'] / own_time:.0f} % of our time."
    )
    print(*lines, note, sep="\n", file=sys.stderr)
    return [*lines, note]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--huge", action="store_true", help="also 200 megapixels, ours only")
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    parser.add_argument("--entrant", choices=ENTRANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.entrant:
        print(json.dumps(measure(arguments.entrant, arguments.folder)))
        return
    entrants = [name for name in ENTRANTS if name != "anomalib" or find_spec(name)]
    cases = [(m, "distances", entrants) for m in arguments.megapixels]
    cases += [(min(arguments.megapixels), kind, entrants[:2]) for kind in ("logits", "unordered")]
    cases += [(200, "distances", ["ours"])] if arguments.huge else []
    table, notes = [], []
    for megapixels, kind, names in cases:
        with tempfile.TemporaryDirectory() as folder:
            *lines, note = row(megapixels, kind, names, Path(folder))
        table += lines
        notes.append(note)
    from report import machine, write_section

    markdown = "\n".join(
        [
            "## Pixel metrics",
            "",
            "| Mpx | maps | | metrics | CPU ms a Mpx | CPU time / ours | peak GiB | largest difference |",
            "|---|---|---|---|---|---|---|---|",
            *table,
            "",
            *notes,
            "",
            "What bounds it: the counting pass, by its two dependent look-ups a pixel (its cell's layout,",
            "then its counter, a read and a write) and by the binary search of the few pixels that share a",
            "counter with a positive score; not by reading the maps. The others compute AU-ROC and AP",
            "only; anomalib, whose AUPR is AP since 2.7, in batches of 32 images.",
            "",
            f"One thread, median CPU time of {REPEATS} calls. {machine()}. `python benchmarks/metrics.py"
            + (" --huge" if arguments.huge else "")
            + " --write`",
        ]
    )
    print("<!-- begin metrics -->", markdown, "<!-- end metrics -->", sep="\n")
    if arguments.write:
        write_section("metrics", markdown)


if __name__ == "__main__":
    main()
