"""Nearest neighbours in a memory bank: ours against faiss's IndexFlatL2 and anomalib's distance matrix.

    SPD_DATA=... python benchmarks/knn.py [--threads 1] [--write]

3136 queries (4 images) in a bank of 7000, k = 1. The bank is a coreset of the patches of other images:
magnetic tiles under lite0, and synthetic patches of 1536 channels. Everybody takes turns, `--repeats` times;
a ratio is the median of the repeats', with the least and the greatest.
"""

import argparse
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=7)
parser.add_argument("--write", action="store_true")
arguments = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
# The OpenBLAS in faiss's wheel takes processors newer than itself for ones without AVX; faiss at its best.
if "avx512f" in Path("/proc/cpuinfo").read_text():
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")

import faiss  # noqa: E402
import magnetic_tile  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from report import machine, write_section  # noqa: E402
from turns import clock_for, ratio, take_turns  # noqa: E402

from spd.detectors.coreset import greedy_coreset  # noqa: E402
from spd.detectors.embedding import Embedder  # noqa: E402
from spd.detectors.neighbours import Neighbours  # noqa: E402

torch.set_num_threads(arguments.threads)
faiss.omp_set_num_threads(arguments.threads)
clock, what = clock_for(arguments.threads)


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


def main() -> None:
    rows = []
    ours_shown = ("auto", "elsewhere", "bfloat16", "float32")
    for name, (bank, queries) in problems().items():
        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank)
        torch_bank, torch_queries = torch.from_numpy(bank), torch.from_numpy(np.ascontiguousarray(queries))
        ours = {kind: Neighbours(bank, "torch", kind) for kind in ("float32", "bfloat16")}
        ours["auto"] = Neighbours(bank)
        ours["elsewhere"] = Neighbours(bank, filter="float32")  # what `auto` is without bfloat16 units
        runs = {kind: lambda s=search, q=queries: s(q) for kind, search in ours.items()}
        runs["faiss"] = lambda i=index, q=queries: i.search(q, 1)
        runs["anomalib"] = lambda b=torch_bank, q=torch_queries: anomalib_search(b, q)
        runs["product"] = lambda b=torch_bank, q=torch_queries: q @ b.T
        take_turns(runs, clock, 1)  # compiles or loads the kernels
        seconds = take_turns(runs, clock, arguments.repeats)
        agree = (index.search(queries, 1)[1] == ours["auto"](queries)[1]).mean()
        rows.append(
            [
                name,
                *(ratio(seconds["faiss"], seconds[kind], 2) for kind in ours_shown),
                ratio(seconds["anomalib"], seconds["auto"], 2),
                ratio(seconds["product"], seconds["auto"], 2),
                f"{agree:.2%}",
            ]
        )
        print(*rows[-1], file=sys.stderr, flush=True)
    table = [
        f"### Nearest neighbours, {arguments.threads} thread{'s' * (arguments.threads > 1)}",
        "",
        f"`python benchmarks/knn.py --threads {arguments.threads} --write`; {what}; 3136 queries, "
        f"bank of 7000; {arguments.repeats} repeats in turns: median (least-greatest). {machine()}.",
        "",
        "| patches | faiss / auto | faiss / auto without bfloat16 | faiss / bfloat16 | faiss / float32 | "
        "anomalib / auto | product / auto | index as faiss |",
        "|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "`auto` is what runs here, and what would run where nothing multiplies bfloat16; `bfloat16` and "
        "`float32` are our own search with that filter. `product`: the float32 matrix product alone, which "
        "bounds what has no bfloat16 units. The last column: the nearest patch is the same as faiss's.",
        "",
        "Without bfloat16 `auto` is faiss itself, asked for a few neighbours more, whose float64 distances "
        "then decide (lowest index on ties). That is what it is slower by: faiss keeps one minimum for k = 1 "
        "and a heap for more. The fewer the channels, the less the product hides it.",
    ]
    print("\n".join(table))
    if arguments.write:
        write_section(f"knn-{arguments.threads}", "\n".join(table))


if __name__ == "__main__":
    main()
