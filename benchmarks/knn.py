"""Nearest neighbours in a memory bank: ours against faiss's IndexFlatL2 and anomalib's distance matrix.

3136 queries (4 images), k = 1. The bank is a coreset of the patches of other images: magnetic tiles under
lite0 (where SPD_DATA holds them), and synthetic patches of 1536 channels. Everybody takes turns, `--repeats`
times; a ratio is the median of the repeats', with the least and the greatest.
"""

import faiss
import magnetic_tile
import numpy as np
import torch
from harness import benchmark, clock, ratio, table, take_turns

from spd.detectors.coreset import greedy_coreset
from spd.detectors.neighbours import Neighbours

QUERIES = 3136


def problems(size: int):
    """(name, bank of `size` patches, queries)."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((20, 1536), np.float32)
    points = rng.standard_normal((size + QUERIES, 20), np.float32) @ mixing
    points += 2 * rng.standard_normal(points.shape, np.float32)
    yield "synthetic, 1536 channels", points[:size], points[size:]
    if magnetic_tile.root():
        images = -(-size * 30 // 7000)
        features = magnetic_tile.features(images + 4)
        for embedding, width in (("official", 1024), ("avgpool", 152)):
            embedder, stages = magnetic_tile.embedder(embedding, features)
            vectors = embedder(stages)
            train, test = vectors[: images * 784], vectors[images * 784 :]
            bank = train[greedy_coreset(train, size)]
            yield f"magnetic tiles, lite0, {embedding}, {width} channels", bank, test


def anomalib_search(bank: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Its `euclidean_dist` and minimum, the calls it makes for one batch."""
    distances = torch.matmul(queries, bank.T).mul_(-2)
    distances.add_(queries.pow(2).sum(1, keepdim=True)).add_(bank.pow(2).sum(1)[None])
    return distances.clamp_min_(0).sqrt_().min(1)[1]


def rows(options):
    for name, bank, queries in problems(options.bank):
        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank)
        peer, asked = torch.from_numpy(bank), torch.from_numpy(np.ascontiguousarray(queries))
        ours = {
            "auto": Neighbours(bank),
            "elsewhere": Neighbours(bank, filter="float32"),  # what `auto` is without bfloat16 units
            "bfloat16": Neighbours(bank, "torch", "bfloat16"),
            "float32": Neighbours(bank, "torch", "float32"),
        }
        runs = {kind: lambda s=search, q=queries: s(q) for kind, search in ours.items()} | {
            "faiss": lambda i=index, q=queries: i.search(q, 1),
            "anomalib": lambda b=peer, q=asked: anomalib_search(b, q),
            "product": lambda b=peer, q=asked: q @ b.T,
        }
        seconds = take_turns(runs, options.threads, options.repeats)
        pairs = [("faiss", kind) for kind in ours] + [("anomalib", "auto"), ("product", "auto")]
        agree = (index.search(queries, 1)[1] == ours["auto"](queries)[1]).mean()
        yield name, *(ratio(seconds[a], seconds[b], 2) for a, b in pairs), f"{agree:.2%}"


HEADER = (
    "patches | faiss / auto | faiss / auto without bfloat16 | faiss / bfloat16 | faiss / float32 | "
    "anomalib / auto | product / auto | index as faiss"
)


def measure(options) -> str:
    return f"""{clock(options.threads)[1]}; {QUERIES} queries, bank of {options.bank}; {options.repeats}
repeats in turns: median (least-greatest).

{table(HEADER, rows(options))}

`auto` is what runs here, and what would run where nothing multiplies bfloat16; `bfloat16` and `float32` are
our own search with that filter. `product`: the float32 matrix product alone, which bounds what has no
bfloat16 units. The last column: the nearest patch is the same as faiss's.

Without bfloat16 `auto` is faiss itself, asked for a few neighbours more, whose float64 distances then decide
(lowest index on ties). That is what it is slower by: faiss keeps one minimum for k = 1 and a heap for more.
The fewer the channels, the less the product hides it."""


if __name__ == "__main__":
    sizes = {"repeats": (7, 1), "bank": (7000, 500)}
    benchmark(measure, "knn", "### Nearest neighbours", sizes, by_threads=True)
