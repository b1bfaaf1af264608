"""Nearest neighbours in a memory bank: ours against faiss's IndexFlatL2 and anomalib's distance matrix.

    SPD_DATA=... python benchmarks/knn.py [--threads 1] [--write]

3136 queries (4 images) in 7000 x 1536, k = 1, the median of three. The bank is a coreset's share of the
patches of other images: magnetic tiles under lite0 (152 channels), and synthetic patches. Time is CPU time
on one thread, wall time on two.
"""

import argparse
import os
import statistics
import sys
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--write", action="store_true")
arguments = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import faiss  # noqa: E402
import magnetic_tile  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from report import machine, write_section  # noqa: E402

from spd.detectors.coreset import greedy_coreset  # noqa: E402
from spd.detectors.embedding import Embedder  # noqa: E402
from spd.detectors.neighbours import Neighbours  # noqa: E402

torch.set_num_threads(arguments.threads)
faiss.omp_set_num_threads(arguments.threads)
clock = time.process_time if arguments.threads == 1 else time.perf_counter


def problems() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((20, 1536), np.float32)
    points = rng.standard_normal((10_136, 20), np.float32) @ mixing
    points += 2 * rng.standard_normal(points.shape, np.float32)
    found = {"synthetic, 1536 channels": (points[:7000], points[7000:])}
    if magnetic_tile.root() is not None:
        stages = list(magnetic_tile.features(34).values())[1:3]
        for embedding, width in (("official", 1024), ("avgpool", 152)):
            embedder = Embedder(
                [s.shape[1] for s in stages], patch_size=3, embedding=embedding, stage_dim=1024, dim=1024
            )
            vectors = embedder(stages)
            train, test = vectors[: 30 * 784], vectors[30 * 784 :]
            bank = train[greedy_coreset(train, 7000)]
            found[f"magnetic tiles, lite0, {embedding}, {width} channels"] = (bank, test)
    return found


def anomalib_search(bank: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Its `euclidean_dist` and minimum, the calls it makes for one batch."""
    distances = torch.matmul(queries, bank.T).mul_(-2)
    distances.add_(queries.pow(2).sum(1, keepdim=True)).add_(bank.pow(2).sum(1)[None])
    return distances.clamp_min_(0).sqrt_().min(1)[1]


def median_seconds(call) -> float:
    call()
    runs = []
    for _ in range(3):
        begin = clock()
        call()
        runs.append(clock() - begin)
    return statistics.median(runs)


def main() -> None:
    rows = []
    for name, (bank, queries) in problems().items():
        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank)
        torch_bank, torch_queries = torch.from_numpy(bank), torch.from_numpy(np.ascontiguousarray(queries))
        ours = {kind: Neighbours(bank, "torch", kind) for kind in ("auto", "float32", "bfloat16")}
        seconds = {kind: median_seconds(lambda s=search, q=queries: s(q)) for kind, search in ours.items()}
        by_faiss = median_seconds(lambda i=index, q=queries: i.search(q, 1))
        by_anomalib = median_seconds(lambda b=torch_bank, q=torch_queries: anomalib_search(b, q))
        agree = (index.search(queries, 1)[1] == ours["auto"](queries)[1]).mean()
        rows.append(
            [
                name,
                *(f"{by_faiss / seconds[kind]:.2f}x" for kind in ours),
                f"{by_anomalib / seconds['auto']:.2f}x",
                f"{agree:.2%}",
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    what = "CPU time" if arguments.threads == 1 else "wall time"
    table = [
        f"### Nearest neighbours, {arguments.threads} thread(s)",
        "",
        f"`python benchmarks/knn.py --threads {arguments.threads}`; {what}; 3136 queries, bank of 7000. "
        f"{machine()}.",
        "",
        "| patches | auto / faiss | float32 / faiss | bfloat16 / faiss | auto / anomalib | index as faiss |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    print("\n".join(table))
    if arguments.write:
        write_section(f"knn-{arguments.threads}", "\n".join(table))


if __name__ == "__main__":
    main()
