"""Pixel metrics: our five from one sweep against the two of scikit-learn and of anomalib.

Each runs in a process of its own, on the same generated maps, on one thread; the table gives the median CPU
time of three calls after a warm-up on small maps (which compiles or loads our kernels), and the peak memory
of the whole process, of which 5 bytes a pixel are the maps and masks themselves. `--huge` adds 200
megapixels, ours only.
"""

import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from harness import alone, benchmark, installed, table

from spd.metrics.pixel import pixel_metrics

SIZE, REPEATS = 256, 3
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


def scikit_learn(maps, masks):
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth, scores = masks.ravel(), maps.ravel()
    return {"AU-ROC": roc_auc_score(truth, scores), "AP": average_precision_score(truth, scores)}


def anomalib(maps, masks):
    """Its AUROC and AUPR metrics (torchmetrics' beneath), fed in batches of 32 images as its engine does."""
    import torch
    from anomalib.metrics.aupr import _AUPR
    from anomalib.metrics.auroc import _AUROC

    # Its post-processor scales scores to [0, 1], from the extremes of the test set.
    low, high = float(maps.min()), float(maps.max())
    auroc, aupr = _AUROC(), _AUPR()
    for start in range(0, len(maps), 32):
        scores = (torch.from_numpy(maps[start : start + 32]) - low) / (high - low)
        truth = torch.from_numpy(masks[start : start + 32]).long()
        for metric in (auroc, aupr):
            metric.update(scores.flatten(), truth.flatten())
    return {"AU-ROC": float(auroc.compute()), "AP": float(aupr.compute())}


ENTRANTS = {"ours": pixel_metrics, "scikit-learn": scikit_learn, "anomalib": anomalib}


def prepare(entrant: str, folder: Path):
    small = np.zeros((2, 32, 32), np.float32)
    small[0, :3] = np.arange(32)
    ENTRANTS[entrant](small, (small > 8).astype(np.uint8))
    maps, masks = np.load(folder / "maps.npy"), np.load(folder / "masks.npy")
    return lambda: ENTRANTS[entrant](maps, masks)


def prepare_shares(folder: Path):
    """Share of each stage in ours, seconds to read maps and masks once, and share of positive pixels."""
    work, maps, masks = prepare("ours", folder), np.load(folder / "maps.npy"), np.load(folder / "masks.npy")

    def profiled() -> tuple[str, float, float]:
        start = time.process_time()
        int(maps.view(np.uint32).max()) + int(masks.max())
        read = time.process_time() - start
        profile = cProfile.Profile(time.process_time)
        profile.runcall(work)
        stats = pstats.Stats(profile)
        spent = [
            (label, sum(row[2] for (_, _, name), row in stats.stats.items() if stage in name))
            for stage, label in STAGES.items()
        ]
        shares = ", ".join(f"{label} {100 * seconds / stats.total_tt:.0f} %" for label, seconds in spent)
        return shares, read, float(masks.mean())

    return profiled


def rows(cases, notes: list[str]):
    for megapixels, kind, names in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_maps(folder, megapixels, kind)
            results = {name: alone(prepare, name, folder, repeats=REPEATS) for name in names}
            stages, read, positive = alone(prepare_shares, folder).value
        own, own_time = results["ours"].value, statistics.median(results["ours"].seconds)
        for name, result in results.items():
            seconds, values = statistics.median(result.seconds), result.value
            off = max(abs(values[key] - own[key]) for key in values if key in own)
            cells = (
                f"{1e3 * seconds / megapixels:.1f}",
                f"{seconds / own_time:.1f}",
                f"{result.peak / 1024:.2f}",
            )
            yield megapixels, kind, name, len(values), *cells, "" if name == "ours" else f"{off:.0e}"
        notes.append(
            f"* {megapixels} Mpx, {kind} ({100 * positive:.1f} % positive): {stages}; "
            f"reading maps and masks once takes {100 * read / own_time:.0f} % of our time."
        )


def measure(options) -> str:
    names = ["ours", "scikit-learn", *(["anomalib"] if installed("anomalib") else [])]
    cases = [(m, "distances", names) for m in options.megapixels]
    cases += [(min(options.megapixels), kind, names[:2]) for kind in ("logits", "unordered")]
    cases += [(200, "distances", ["ours"])] if options.huge else []
    notes: list[str] = []
    header = "Mpx | maps | | metrics | CPU ms a Mpx | CPU time / ours | peak GiB | largest difference"
    lines = [table(header, rows(cases, notes)), "", *notes]
    return (
        "\n".join(lines)
        + f"""

What bounds it: the counting pass, by its two dependent look-ups a pixel (its cell's layout,
then its counter, a read and a write) and by the binary search of the few pixels that share a
counter with a positive score; not by reading the maps. The others compute AU-ROC and AP
only; anomalib, whose AUPR is AP since 2.7, in batches of 32 images.

One thread, median CPU time of {REPEATS} calls."""
    )


if __name__ == "__main__":
    sizes = {"megapixels": ([10, 50], [1]), "huge": (False, False)}
    benchmark(measure, "metrics", "## Pixel metrics", sizes)
