"""PaDiM fit and score: ours against anomalib's classes on the same features.

    SPD_DATA=... python benchmarks/padim.py [--threads 1] [--write]

56 x 56 positions, 83 test images. anomalib's Gaussian and distances run on `--slab` positions, scaled to all
3136 (equal work per position; without upsampling and blur); ours run whole, maps included. They take turns,
`--repeats` times; a ratio is the median of the repeats', with the least and the greatest. Needs anomalib
(extra `parity`).
"""

import argparse
import os
import statistics
import sys

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--slab", type=int, default=28, help="positions the peer computes")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--write", action="store_true")
arguments = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import magnetic_tile  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from anomalib.models.components import MultiVariateGaussian  # noqa: E402
from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator  # noqa: E402
from report import machine, write_section  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from turns import clock_for, ratio, take_turns  # noqa: E402

from spd.detectors.mahalanobis import operations  # noqa: E402
from spd.detectors.options import PaDiMOptions  # noqa: E402
from spd.detectors.padim import PaDiM  # noqa: E402

torch.set_num_threads(arguments.threads)
clock, what = clock_for(arguments.threads)
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


def anomalib(train: dict[str, np.ndarray], test: dict[str, np.ndarray], channels: np.ndarray):
    """A call that fits and scores `--slab` positions."""

    def slab(features):
        tensors = [torch.from_numpy(v[:, :, :2]) for v in features.values()]
        ups = [F.interpolate(t, scale_factor=56 // t.shape[-1], mode="nearest")[:, :, :1] for t in tensors]
        return torch.cat(ups, 1)[:, channels, :, : arguments.slab].contiguous()

    a, b = slab(train), slab(test)
    if arguments.threads > 1:
        # On several threads torch's batched inverse fails at d = 550 (oneMKL: "Parameter 6 was incorrect on
        # entry to SLASWP", torch 2.14.1, AMD and Intel), and anomalib with it; matrix by matrix it works.
        torch.linalg.inv = lambda batch: torch.stack([torch.inverse(matrix) for matrix in batch])

    def run() -> None:
        gaussian = MultiVariateGaussian()
        gaussian.fit(a)
        AnomalyMapGenerator.compute_distance(b, [gaussian.mean, gaussian.inv_covariance])

    return run


def factor_rate(n: int) -> float:
    """Multiply-adds a second of a batched float32 Cholesky factorisation of n x n, the dual form's."""
    a = torch.randn(8, n, n)
    a = a @ a.mT + n * torch.eye(n)
    seconds = take_turns({"factor": lambda: torch.linalg.cholesky(a)}, clock, 5)["factor"]
    return 8 * n**3 / 6 / statistics.median(seconds)


def product_rate() -> float:
    """Multiply-adds a second of a large float32 product."""
    a = torch.randn(1024, 1024)
    seconds = take_turns({"product": lambda: a @ a}, clock, 5)["product"]
    return 1024**3 / statistics.median(seconds)


def main() -> None:
    narrow, wide = (14, 29, 57), (79, 157, 314)  # d = 100 and 550, shared among the layers as a draw would
    problems = {
        "d = 100, N = 200, synthetic (ResNet-18)": (synthetic(200 + TEST, narrow), 100),
        "d = 550, N = 200, synthetic (ResNet-50)": (synthetic(200 + TEST, wide), 550),
        "d = 550, N = 700, synthetic (ResNet-50, VisA's size)": (synthetic(700 + TEST, wide), 550),
    }
    if magnetic_tile.root() is not None:
        real = magnetic_tile.features(700 + TEST)
        for n, dim in ((200, 100), (200, 176), (700, 176)):
            problems[f"d = {dim}, N = {n}, magnetic tiles, lite0"] = (
                {k: np.concatenate([v[:n], v[-TEST:]]) for k, v in real.items()},
                dim,
            )
    rows = []
    product = product_rate()
    for name, (features, dim) in problems.items():
        train = {k: v[:-TEST] for k, v in features.items()}
        test = {k: v[-TEST:] for k, v in features.items()}
        model = PaDiM(PaDiMOptions(dim=dim))

        def ours(model=model, train=train, test=test):
            model.fit(train).score(test, (224, 224))

        model.fit({k: v[:20] for k, v in train.items()}).score(
            test, (224, 224)
        )  # compiles or loads the kernels
        runs = {"peer": anomalib(train, test, model.channels), "ours": ours}
        seconds = take_turns(runs, clock, arguments.repeats)
        whole = [s * 56 * 56 / arguments.slab for s in seconds["peer"]]
        report, own = model.report, statistics.median(seconds["ours"])
        widths = [int(sum(len(model._picked[s]) for s in stages)) for stages in model._grids.values()]
        groups = [h * w for h, w in model._grids]
        floor = (
            operations(len(next(iter(train.values()))), TEST, widths, groups, report["solver"] == "dual")
            / product
        )
        rows.append(
            [
                name,
                ratio(whole, seconds["ours"]),
                f"{own:.2f}",
                report["solver"],
                f"{floor / own:.0%}",
                f"{report['relative_error_measured']:.0e}",
                f"{report['positions_in_float64']} of {report['positions']}",
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    factor = factor_rate(200)
    table = [
        f"### PaDiM, {arguments.threads} thread{'s' * (arguments.threads > 1)}",
        "",
        f"`python benchmarks/padim.py --threads {arguments.threads} --write`; {what} of fit and score of "
        f"{TEST} images, {arguments.repeats} repeats in turns: median (least-greatest); anomalib scaled from "
        f"{arguments.slab} positions. {machine()}.",
        "",
        "| problem | anomalib / ours | ours, s | solver | of the floor | error to float64 | "
        "redone in float64 |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        f"Floor: the solver's multiply-adds at the rate of a large float32 product, "
        f"{product / 1e9:.0f} G/s here. A batched Cholesky factorisation of 200 x 200, the largest part of "
        f"the dual form, runs at {factor / product:.0%} of it.",
    ]
    print("\n".join(table))
    if arguments.write:
        write_section(f"padim-{arguments.threads}", "\n".join(table))


if __name__ == "__main__":
    main()
