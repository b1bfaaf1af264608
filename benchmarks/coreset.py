"""Greedy coreset: our exact block-lazy selection against anomalib's and the official loop, on the same
projected patches.

    SPD_DATA=... python benchmarks/coreset.py [--threads 1] [--iterations 40] [--write]

Features: magnetic tiles under lite0 (where SPD_DATA holds them), embedded and projected as the profile
says, and synthetic ones of the same size (12-dimensional structure plus noise). The peers do equal work at
every step, so their time is the median of three runs of `--iterations` steps, scaled to the whole; ours
are three full runs. Time is CPU time on one thread, wall time on two. anomalib's own class is used where
it can be imported, else its loop as written here, which makes the same calls.
"""

import argparse
import os
import statistics
import sys
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--iterations", type=int, default=40)
parser.add_argument("--patches", type=int, default=80_000)
parser.add_argument("--write", action="store_true")
arguments = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import magnetic_tile  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from report import machine, write_section  # noqa: E402

from spd.detectors.coreset import greedy_coreset  # noqa: E402
from spd.detectors.embedding import Embedder  # noqa: E402
from spd.detectors.projection import draw_projection, project  # noqa: E402

torch.set_num_threads(arguments.threads)
clock = time.process_time if arguments.threads == 1 else time.perf_counter
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


def anomalib_seconds(points: np.ndarray) -> float:
    """Per selected patch."""
    features = torch.from_numpy(points)
    try:
        from anomalib.models.components import KCenterGreedy

        sampler = KCenterGreedy(embedding=features, sampling_ratio=0.01)
        sampler.features = features
        update, pick = sampler.update_distances, sampler.get_new_idx
        state = sampler
    except ImportError:

        class State:
            min_distances = None

        state = State()

        def update(centre):
            distances = torch.linalg.norm(features - features[centre].squeeze(), ord=2, dim=1, keepdim=True)
            first = state.min_distances is None
            state.min_distances = distances if first else torch.minimum(state.min_distances, distances)

        def pick():
            return torch.max(state.min_distances.squeeze(1), dim=0)[1]

    index = torch.tensor(0)
    runs = []
    for _ in range(3):
        begin = clock()
        for _ in range(arguments.iterations):
            update(index)
            index = pick()
            state.min_distances.scatter_(0, index[None, None], 0.0)
        runs.append((clock() - begin) / arguments.iterations)
    return statistics.median(runs)


def official_seconds(points: np.ndarray) -> float:
    """Per selected patch: distances by an uncentred product, joined to the last ones, minimum along the
    row."""
    features = torch.from_numpy(points)
    nearest = torch.full((len(points), 1), 1e9)
    runs = []
    for _ in range(3):
        begin = clock()
        for _ in range(arguments.iterations):
            index = torch.argmax(nearest).item()
            centre = features[index : index + 1]
            own = features.unsqueeze(1).bmm(features.unsqueeze(2)).reshape(-1, 1)
            other = centre.unsqueeze(1).bmm(centre.unsqueeze(2)).reshape(-1, 1)
            distances = (-2 * features.mm(centre.T) + own + other.T).clamp(0, None).sqrt()
            nearest = torch.min(torch.cat([nearest, distances], dim=-1), dim=1).values.reshape(-1, 1)
        runs.append((clock() - begin) / arguments.iterations)
    return statistics.median(runs)


def main() -> None:
    rows = []
    features = None
    if magnetic_tile.root() is not None:
        features = magnetic_tile.features(-(-arguments.patches // 784))
    for embedding, kind, dim in WIDTHS:
        sources = {"synthetic": synthetic(dim)}
        if features is not None:
            sources["magnetic tiles, lite0"] = real(embedding, kind, dim, features)
        for source, points in sources.items():
            peers = {"anomalib": anomalib_seconds(points), "official loop": official_seconds(points)}
            for share in (0.01, 0.1):
                size = int(len(points) * share)
                greedy_coreset(points[:3000], 30)  # compiles or loads the kernels
                runs = []
                for _ in range(3):
                    begin = clock()
                    greedy_coreset(points, size)
                    runs.append(clock() - begin)
                ours = statistics.median(runs)
                row = [source, f"{len(points)} x {dim}", f"{share:.0%}"]
                rows.append([*row, *(f"{peers[p] * size / ours:.0f}x" for p in peers), f"{ours:.2f}"])
                print(*rows[-1], file=sys.stderr, flush=True)
    what = "CPU time" if arguments.threads == 1 else "wall time"
    table = [
        f"### Coreset, {arguments.threads} thread(s)",
        "",
        f"`python benchmarks/coreset.py --threads {arguments.threads} --iterations {arguments.iterations}`; "
        f"{what}; peers extrapolated from {arguments.iterations} steps. {machine()}.",
        "",
        "| patches | size | share | faster than anomalib | than the official loop | ours, s |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    print("\n".join(table))
    if arguments.write:
        write_section(f"coreset-{arguments.threads}", "\n".join(table))


if __name__ == "__main__":
    main()
