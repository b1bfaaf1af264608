"""Greedy coreset: our exact block-lazy selection against anomalib's and the official loop, on the same
projected patches.

Features: magnetic tiles under lite0 (where SPD_DATA holds them), embedded and projected as the profile
says, and synthetic ones of the same size (12-dimensional structure plus noise). The peers do equal work at
every step, so `--iterations` steps are timed and scaled to the whole; ours run whole. Everybody takes turns,
`--repeats` times; a ratio is the median of the repeats', with the least and the greatest. anomalib's own
class is used (extra `parity`); the official loop is written here with the calls it makes.
"""

import statistics

import magnetic_tile
import numpy as np
import torch
from harness import benchmark, clock, installed, ratio, table, take_turns

from spd.detectors.bounds import filter_dtype
from spd.detectors.coreset import greedy_coreset
from spd.detectors.projection import draw_projection, project

WIDTHS = (("avgpool", "sparse", 278), ("official", "gaussian", 128))


def synthetic(count: int, dim: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    structure = rng.standard_normal((count, 12), np.float32) @ rng.standard_normal((12, dim), np.float32)
    return structure + 0.5 * rng.standard_normal((count, dim), np.float32)


def real(embedding: str, kind: str, dim: int, features: dict[str, np.ndarray]) -> np.ndarray:
    embedder, stages = magnetic_tile.embedder(embedding, features)
    matrix = draw_projection(kind, embedder.width, dim, 0)
    return np.concatenate(
        [project(embedder([s[i : i + 8] for s in stages]), matrix) for i in range(0, len(stages[0]), 8)]
    )


def anomalib_steps(points: np.ndarray, steps: int):
    """A call that selects `steps` more patches."""
    from anomalib.models.components import KCenterGreedy

    features = torch.from_numpy(points)
    sampler = KCenterGreedy(embedding=features, sampling_ratio=0.01)
    sampler.features = features

    def run() -> None:
        index = torch.tensor(0)
        for _ in range(steps):
            sampler.update_distances(index)
            index = sampler.get_new_idx()
            sampler.min_distances.scatter_(0, index[None, None], 0.0)

    return run


def official_steps(points: np.ndarray, steps: int):
    """The same of the official loop: distances by an uncentred product, joined to the last ones, minimum
    along the row."""
    features = torch.from_numpy(points)
    nearest = torch.full((len(points), 1), 1e9)

    def run() -> None:
        nonlocal nearest
        for _ in range(steps):
            index = torch.argmax(nearest).item()
            centre = features[index : index + 1]
            own = features.unsqueeze(1).bmm(features.unsqueeze(2)).reshape(-1, 1)
            other = centre.unsqueeze(1).bmm(centre.unsqueeze(2)).reshape(-1, 1)
            distances = (-2 * features.mm(centre.T) + own + other.T).clamp(0, None).sqrt()
            nearest = torch.min(torch.cat([nearest, distances], dim=-1), dim=1).values.reshape(-1, 1)

    return run


def product_rate(dim: int, threads: int) -> float:
    """Multiply-adds a second of a product in the filter's type, 2048 x dim by dim x 512: the roofline."""
    dtype = filter_dtype("auto", torch.device("cpu"))
    width = -(-dim // 32) * 32  # odd widths are slow, and not what the machine can do
    a, b = torch.randn(2048, width).to(dtype), torch.randn(width, 512).to(dtype)
    seconds = take_turns({"product": lambda: [a @ b for _ in range(50)]}, threads, 5)["product"]
    return 50 * 2048 * width * 512 / statistics.median(seconds)


def rows(options):
    count, peers = options.patches, {"official": official_steps}
    if installed("anomalib"):
        peers = {"anomalib": anomalib_steps} | peers
    features = magnetic_tile.features(-(-count // 784)) if magnetic_tile.root() else None
    for embedding, kind, dim in WIDTHS:
        sources = {"synthetic": synthetic(count, dim)}
        if features is not None:
            sources["magnetic tiles, lite0"] = real(embedding, kind, dim, features)[:count]
        rate = product_rate(dim, options.threads)
        for source, points in sources.items():
            greedy_coreset(points[:3000], 30)  # compiles or loads the kernels
            sizes = {share: int(len(points) * share) for share in (0.01, 0.1)}
            runs = {peer: steps(points, options.iterations) for peer, steps in peers.items()}
            runs |= {share: lambda p=points, s=size: greedy_coreset(p, s) for share, size in sizes.items()}
            seconds = take_turns(runs, options.threads, options.repeats, warm=False)
            for share, size in sizes.items():
                own = statistics.median(seconds[share])
                scaled = {p: [s * size / options.iterations for s in seconds[p]] for p in peers}
                faster = [
                    ratio(scaled[p], seconds[share], 0) if p in peers else ""
                    for p in ("anomalib", "official")
                ]
                floor = f"{len(points) * size * dim / rate / own:.0%}"
                yield source, f"{len(points)} x {dim}", f"{share:.0%}", *faster, f"{own:.2f}", floor


def measure(options) -> str:
    header = "patches | size | share | anomalib / ours | official loop / ours | ours, s | of the floor"
    return f"""{clock(options.threads)[1]}, {options.repeats} repeats in turns: median (least-greatest); peers
scaled from {options.iterations} steps a repeat.

{table(header, rows(options))}

Last column: the time in which this machine's matrix product, in the filter's type, compares every patch with
every centre, over our time (above 100 %: patches were skipped)."""


if __name__ == "__main__":
    sizes = {"iterations": (40, 2), "patches": (80_000, 3136), "repeats": (3, 1)}
    benchmark(measure, "coreset", "### Coreset", sizes, by_threads=True)
