"""PaDiM fit and score: ours against anomalib's classes on the same features.

    SPD_DATA=... python benchmarks/padim.py [--threads 1] [--write]

56 x 56 positions, 83 test images. anomalib's Gaussian and distances run on `--slab` positions, the median
of three, scaled to all 3136 (equal work per position; without upsampling and blur); ours run whole, maps
included, the median of three. Time is CPU time on one thread, wall time on two. Needs anomalib (extra
`parity`).
"""

import argparse
import os
import statistics
import sys
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--slab", type=int, default=28, help="positions the peer computes")
parser.add_argument("--write", action="store_true")
arguments = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import magnetic_tile  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from report import machine, write_section  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from spd.detectors.options import PaDiMOptions  # noqa: E402
from spd.detectors.padim import PaDiM  # noqa: E402

torch.set_num_threads(arguments.threads)
clock = time.process_time if arguments.threads == 1 else time.perf_counter
TEST = 83


def synthetic(n: int, widths: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Correlated channels on grids of 56, 28 and 14, only those that `dim` keeps."""
    rng, features = np.random.default_rng(0), {}
    for stage, width, side in zip(("layer1", "layer2", "layer3"), widths, (56, 28, 14), strict=True):
        mixing = rng.standard_normal((width, 20), np.float32) * 0.3
        factors = rng.standard_normal((n, 20, side * side), np.float32)
        noise = 0.2 * rng.standard_normal((n, width, side * side), np.float32)
        features[stage] = (mixing @ factors + noise).reshape(n, width, side, side)
    return features


def anomalib_seconds(
    train: dict[str, np.ndarray], test: dict[str, np.ndarray], channels: np.ndarray
) -> float:
    from anomalib.models.components import MultiVariateGaussian
    from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator

    def slab(features):
        tensors = [torch.from_numpy(v[:, :, :2]) for v in features.values()]
        ups = [F.interpolate(t, scale_factor=56 // t.shape[-1], mode="nearest")[:, :, :1] for t in tensors]
        return torch.cat(ups, 1)[:, channels, :, : arguments.slab].contiguous()

    a, b = slab(train), slab(test)
    runs = []
    for _ in range(3):
        begin = clock()
        gaussian = MultiVariateGaussian()
        gaussian.fit(a)
        AnomalyMapGenerator.compute_distance(b, [gaussian.mean, gaussian.inv_covariance])
        runs.append(clock() - begin)
    return statistics.median(runs) * 56 * 56 / arguments.slab


def main() -> None:
    problems = {
        "d = 100, N = 200 (ResNet-18's widths)": (synthetic(200 + TEST, (14, 29, 57)), 100),
        "d = 550, N = 200 (ResNet-50's widths)": (synthetic(200 + TEST, (79, 157, 314)), 550),
        "d = 550, N = 700 (the same, VisA's size)": (synthetic(700 + TEST, (79, 157, 314)), 550),
    }
    if magnetic_tile.root() is not None:
        real = magnetic_tile.features(200 + TEST)
        problems["d = 100 of 176, N = 200, magnetic tiles, lite0"] = (real, 100)
        problems["d = 176, N = 200, magnetic tiles, lite0"] = (real, 176)
    rows = []
    for name, (features, dim) in problems.items():
        train = {k: v[:-TEST] for k, v in features.items()}
        test = {k: v[-TEST:] for k, v in features.items()}
        runs = []
        for _ in range(3):
            begin = clock()
            model = PaDiM(PaDiMOptions(dim=dim)).fit(train)
            model.score(test, (224, 224))
            runs.append(clock() - begin)
        ours = statistics.median(runs)
        peer = anomalib_seconds(train, test, model.channels)
        report = model.report
        rows.append(
            [
                name,
                f"{peer / ours:.1f}x",
                f"{ours:.2f}",
                report["solver"],
                f"{report['relative_error_measured']:.0e}",
                f"{report['positions_in_float64']} of {report['positions']}",
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    what = "CPU time" if arguments.threads == 1 else "wall time"
    table = [
        f"### PaDiM, {arguments.threads} thread(s)",
        "",
        f"`python benchmarks/padim.py --threads {arguments.threads} --slab {arguments.slab}`; {what} of fit "
        f"and score of {TEST} images; anomalib scaled from {arguments.slab} positions. {machine()}.",
        "",
        "| problem | faster than anomalib | ours, s | solver | error to float64 | redone in float64 |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    print("\n".join(table))
    if arguments.write:
        write_section(f"padim-{arguments.threads}", "\n".join(table))


if __name__ == "__main__":
    main()
