"""PaDiM fit and score: ours against anomalib's classes on the same features.

56 x 56 positions, 83 test images. anomalib's Gaussian and distances run on `--slab` positions, scaled to all
3136 (equal work per position; without upsampling and blur); ours run whole, maps included. They take turns,
`--repeats` times; a ratio is the median of the repeats', with the least and the greatest. Needs anomalib
(extra `parity`).
"""

import statistics

import magnetic_tile
import numpy as np
import torch
from harness import benchmark, clock, installed, ratio, table, take_turns
from torch.nn import functional as F

from spd.detectors.mahalanobis import operations
from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM


def synthetic(n: int, widths: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Correlated channels on grids of 56, 28 and 14, only those that `dim` keeps."""
    rng, features = np.random.default_rng(0), {}
    for stage, width, side in zip(("layer1", "layer2", "layer3"), widths, (56, 28, 14), strict=True):
        mixing = rng.standard_normal((width, 20), np.float32) * 0.3
        factors = rng.standard_normal((n, 20, side * side), np.float32)
        noise = 0.2 * rng.standard_normal((n, width, side * side), np.float32)
        features[stage] = (mixing @ factors + noise).reshape(n, width, side, side)
    return features


def anomalib(train: dict[str, np.ndarray], test: dict[str, np.ndarray], channels: np.ndarray, options):
    """A call that fits and scores `--slab` positions."""
    from anomalib.models.components import MultiVariateGaussian
    from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator

    def slab(features):
        tensors = [torch.from_numpy(v[:, :, :2]) for v in features.values()]
        ups = [F.interpolate(t, scale_factor=56 // t.shape[-1], mode="nearest")[:, :, :1] for t in tensors]
        return torch.cat(ups, 1)[:, channels, :, : options.slab].contiguous()

    a, b = slab(train), slab(test)
    if options.threads > 1:
        # On several threads torch's batched inverse fails at d = 550 (oneMKL: "Parameter 6 was incorrect on
        # entry to SLASWP", torch 2.14.1, AMD and Intel), and anomalib with it; matrix by matrix it works.
        torch.linalg.inv = lambda batch: torch.stack([torch.inverse(matrix) for matrix in batch])

    def run() -> None:
        gaussian = MultiVariateGaussian()
        gaussian.fit(a)
        AnomalyMapGenerator.compute_distance(b, [gaussian.mean, gaussian.inv_covariance])

    return run


def rates(threads: int) -> tuple[float, float]:
    """Multiply-adds a second of a large float32 product, and of a batched Cholesky factorisation of
    200 x 200, the dual form's."""
    large, small = torch.randn(1024, 1024), torch.randn(8, 200, 200)
    small = small @ small.mT + 200 * torch.eye(200)
    runs = {"product": lambda: large @ large, "factor": lambda: torch.linalg.cholesky(small)}
    seconds = {name: statistics.median(each) for name, each in take_turns(runs, threads, 5).items()}
    return 1024**3 / seconds["product"], 8 * 200**3 / 6 / seconds["factor"]


def problems(test: int, quick: bool):
    """(name, features of training images and, last, of `test` test images, d)."""
    narrow, wide = (14, 29, 57), (79, 157, 314)  # d = 100 and 550, shared among the layers as a draw would
    yield "d = 100, N = 200, synthetic (ResNet-18)", synthetic(200 + test, narrow), 100
    if quick:
        return
    yield "d = 550, N = 200, synthetic (ResNet-50)", synthetic(200 + test, wide), 550
    yield "d = 550, N = 700, synthetic (ResNet-50, VisA's size)", synthetic(700 + test, wide), 550
    if magnetic_tile.root():
        real = magnetic_tile.features(700 + test)
        for n, dim in ((200, 100), (200, 176), (700, 176)):
            features = {k: np.concatenate([v[:n], v[-test:]]) for k, v in real.items()}
            yield f"d = {dim}, N = {n}, magnetic tiles, lite0", features, dim


def rows(options, product: float):
    peer = installed("anomalib")
    for name, features, dim in problems(options.test, options.quick):
        train = {k: v[: -options.test] for k, v in features.items()}
        test = {k: v[-options.test :] for k, v in features.items()}
        model = PaDiM(PaDiMOptions(dim=dim))
        # compiles or loads the kernels
        model.fit({k: v[:20] for k, v in train.items()}).score(test, (224, 224))
        runs = {"ours": lambda m=model, a=train, b=test: m.fit(a).score(b, (224, 224))}
        if peer:
            runs = {"anomalib": anomalib(train, test, model.channels, options)} | runs
        seconds = take_turns(runs, options.threads, options.repeats, warm=False)
        whole = [s * 56 * 56 / options.slab for s in seconds.get("anomalib", ())]
        report, own = model.report, statistics.median(seconds["ours"])
        widths = [int(sum(len(model._picked[s]) for s in stages)) for stages in model._grids.values()]
        groups, count = [h * w for h, w in model._grids], len(next(iter(train.values())))
        floor = operations(count, options.test, widths, groups, report["solver"] == "dual") / product
        yield (
            name,
            ratio(whole, seconds["ours"]) if peer else "",
            f"{own:.2f}",
            report["solver"],
            f"{floor / own:.0%}",
            f"{report['relative_error_measured']:.0e}",
            f"{report['positions_in_float64']} of {report['positions']}",
        )


def measure(options) -> str:
    product, factor = rates(options.threads)
    header = "problem | anomalib / ours | ours, s | solver | of the floor | error to float64 | redone"
    return f"""{clock(options.threads)[1]} of fit and score of {options.test} images, {options.repeats}
repeats in turns: median (least-greatest); anomalib scaled from {options.slab} positions.

{table(header, rows(options, product))}

Floor: the solver's multiply-adds at the rate of a large float32 product, {product / 1e9:.0f} G/s here. A
batched Cholesky factorisation of 200 x 200, the largest part of the dual form, runs at
{factor / product:.0%} of it."""


if __name__ == "__main__":
    sizes = {"slab": (28, 2), "test": (83, 5), "repeats": (3, 1)}
    benchmark(measure, "padim", "### PaDiM", sizes, by_threads=True)
