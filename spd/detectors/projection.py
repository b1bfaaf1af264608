"""Random projections in which PatchCore's coreset is chosen."""

import numpy as np
import torch


def johnson_lindenstrauss_dim(patches: int, eps: float) -> int:
    """Width that keeps all pairwise distances of `patches` points within 1 +- eps (as scikit-learn
    computes it)."""
    return int(4 * np.log(patches) / (eps**2 / 2 - eps**3 / 3))


def draw_projection(kind: str, width: int, dim: int, seed: int) -> np.ndarray:
    """(width, dim) float64, a function of its arguments alone.

    gaussian: N(0, 1) / sqrt(dim). The official code uses an untrained `torch.nn.Linear(width, dim)` without
    bias, whose weights are uniform; both keep distances up to one common factor on average. sparse: entries
    +-sqrt(1 / (density dim)) with density 1 / sqrt(width) (Li et al., 2006), as anomalib.
    """
    rng = np.random.default_rng(seed)
    if kind == "gaussian":
        return rng.standard_normal((width, dim)) / np.sqrt(dim)
    density = 1 / np.sqrt(width)
    signs = rng.choice(
        np.array([-1.0, 0.0, 1.0]), size=(width, dim), p=[density / 2, 1 - density, density / 2]
    )
    return signs * np.sqrt(1 / (density * dim))


def project(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, width) float32 -> (n, dim) float32, computed in float64 so that rounding to float32 hides the
    summation order."""
    out = np.empty((len(vectors), matrix.shape[1]), np.float32)
    projection = torch.from_numpy(matrix)
    for start in range(0, len(vectors), 4096):
        block = torch.from_numpy(vectors[start : start + 4096]).double()
        out[start : start + 4096] = (block @ projection).numpy()
    return out
