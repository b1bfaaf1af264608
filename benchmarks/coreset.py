"""Greedy coreset: our exact block-lazy selection against anomalib's and the official loop, on the same
projected patches.

    SPD_DATA=... python benchmarks/coreset.py [--threads 1] [--iterations 40] [--write]

Features: magnetic tiles under lite0 (where SPD_DATA holds them), embedded and projected as the profile
says, and synthetic ones of the same size (12-dimensional structure plus noise). The peers do equal work at
every step, so `--iterations` steps are timed and scaled to the whole; ours run whole. Everybody takes turns,
`--repeats` times; a ratio is the median of the repeats', with the least and the greatest. anomalib's own
class is used (extra `parity`); the official loop is written here with the calls it makes.
"""

import argparse
import os
import statistics
import sys

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--iterations", type=int, default=40)
parser.add_argument("--patches", type=int, default=80_000)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--write", action="store_true")
arguments = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import magnetic_tile  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from anomalib.models.components import KCenterGreedy  # noqa: E402
from report import machine, write_section  # noqa: E402
from turns import clock_for, ratio, take_turns  # noqa: E402

from spd.detectors.bounds import filter_dtype  # noqa: E402
from spd.detectors.coreset import greedy_coreset  # noqa: E402
from spd.detectors.embedding import Embedder  # noqa: E402
from spd.detectors.projection import draw_projection, project  # noqa: E402

torch.set_num_threads(arguments.threads)
clock, what = clock_for(arguments.threads)
WIDTHS = (("avgpool", "sparse", 278), ("official", "gaussian", 128))


def synthetic(dim: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    structure = rng.standard_normal((arguments.patches, 12), np.float32) @ rng.standard_normal(
        (12, dim), np.float32
    )
    return structure + 0.5 * rng.standard_normal((arguments.patches, dim), np.float32)


def real(embedding: str, kind: str, dim: int, features: dict[str, np.ndarray]) -> np.ndarray:
    stages = list(features.values())[1:3]
    embedder = Embedder(
        [s.shape[1] for s in stages], patch_size=3, embedding=embedding, stage_dim=1024, dim=1024
    )
    matrix = draw_projection(kind, embedder.width, dim, 0)
    parts = [project(embedder([s[i : i + 8] for s in stages]), matrix) for i in range(0, len(stages[0]), 8)]
    return np.concatenate(parts)[: arguments.patches]


def anomalib_steps(points: np.ndarray):
    """A call that selects `--iterations` more patches."""
    features = torch.from_numpy(points)
    sampler = KCenterGreedy(embedding=features, sampling_ratio=0.01)
    sampler.features = features

    def run() -> None:
        index = torch.tensor(0)
        for _ in range(arguments.iterations):
            sampler.update_distances(index)
            index = sampler.get_new_idx()
            sampler.min_distances.scatter_(0, index[None, None], 0.0)

    return run


def official_steps(points: np.ndarray):
    """The same of the official loop: distances by an uncentred product, joined to the last ones, minimum
    along the row."""
    features = torch.from_numpy(points)
    nearest = torch.full((len(points), 1), 1e9)

    def run() -> None:
        nonlocal nearest
        for _ in range(arguments.iterations):
            index = torch.argmax(nearest).item()
            centre = features[index : index + 1]
            own = features.unsqueeze(1).bmm(features.unsqueeze(2)).reshape(-1, 1)
            other = centre.unsqueeze(1).bmm(centre.unsqueeze(2)).reshape(-1, 1)
            distances = (-2 * features.mm(centre.T) + own + other.T).clamp(0, None).sqrt()
            nearest = torch.min(torch.cat([nearest, distances], dim=-1), dim=1).values.reshape(-1, 1)

    return run


def product_rate(dim: int) -> float:
    """Multiply-adds a second of a product in the filter's type, 2048 x dim by dim x 512: the roofline."""
    dtype = filter_dtype("auto", torch.device("cpu"))
    width = -(-dim // 32) * 32  # odd widths are slow, and not what the machine can do
    a, b = torch.randn(2048, width).to(dtype), torch.randn(width, 512).to(dtype)
    seconds = take_turns({"product": lambda: [a @ b for _ in range(50)]}, clock, 5)["product"]
    return 50 * 2048 * width * 512 / statistics.median(seconds)


def main() -> None:
    rows = []
    features = None
    if magnetic_tile.root() is not None:
        features = magnetic_tile.features(-(-arguments.patches // 784))
    for embedding, kind, dim in WIDTHS:
        sources = {"synthetic": synthetic(dim)}
        if features is not None:
            sources["magnetic tiles, lite0"] = real(embedding, kind, dim, features)
        rate = product_rate(dim)
        for source, points in sources.items():
            greedy_coreset(points[:3000], 30)  # compiles or loads the kernels
            sizes = {share: int(len(points) * share) for share in (0.01, 0.1)}
            runs = {"anomalib": anomalib_steps(points), "official": official_steps(points)}
            runs |= {share: lambda p=points, s=size: greedy_coreset(p, s) for share, size in sizes.items()}
            seconds = take_turns(runs, clock, arguments.repeats)
            for share, size in sizes.items():
                whole = {
                    peer: [s * size / arguments.iterations for s in seconds[peer]]
                    for peer in ("anomalib", "official")
                }
                own = statistics.median(seconds[share])
                row = [source, f"{len(points)} x {dim}", f"{share:.0%}"]
                row += [ratio(whole[peer], seconds[share], 0) for peer in whole]
                rows.append([*row, f"{own:.2f}", f"{len(points) * size * dim / rate / own:.0%}"])
                print(*rows[-1], file=sys.stderr, flush=True)
    table = [
        f"### Coreset, {arguments.threads} thread{'s' * (arguments.threads > 1)}",
        "",
        f"`python benchmarks/coreset.py --threads {arguments.threads} --write`; {what}, "
        f"{arguments.repeats} repeats in turns: median (least-greatest); peers scaled from "
        f"{arguments.iterations} steps a repeat. "
        f"{machine()}.",
        "",
        "| patches | size | share | anomalib / ours | official loop / ours | ours, s | of the floor |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "Last column: the time in which this machine's matrix product, in the filter's type, compares every "
        "patch with every centre, over our time (above 100 %: patches were skipped).",
    ]
    print("\n".join(table))
    if arguments.write:
        write_section(f"coreset-{arguments.threads}", "\n".join(table))


if __name__ == "__main__":
    main()
