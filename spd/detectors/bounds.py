"""Distances by one matrix product, in float32 or bfloat16, with a rigorous bound of their error.

|a - b|^2 / 2 = |a|^2 / 2 + |b|^2 / 2 - ab. Both norms ride along as three extra entries each (a high, a
middle and a low part, so that even bfloat16 carries them to 24 bits), hence the product itself is -|a - b|^2
/ 2: it needs no further pass, and rounding its result to bfloat16 costs a share of the distance, not of the
norms.
"""

from dataclasses import dataclass

import llvmlite.binding
import numpy as np
import torch
from torch import Tensor

_UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}


def filter_dtype(choice: str, device: torch.device) -> torch.dtype:
    """`auto` | `float32` | `bfloat16` to a torch dtype; auto: bfloat16 where it is multiplied natively."""
    if choice != "auto":
        return getattr(torch, choice)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    features = llvmlite.binding.get_host_cpu_features()
    native = features.get("avx512bf16") or features.get("amx-bf16")
    return torch.bfloat16 if native else torch.float32


@dataclass(frozen=True)
class Operand:
    """One side of the product. values: (n, d + 6); norm: |v|; residue: |v - rounded v|; both (n,) float64."""

    values: Tensor
    norm: np.ndarray
    residue: np.ndarray

    def __getitem__(self, rows) -> "Operand":
        picked = torch.as_tensor(rows) if isinstance(rows, np.ndarray) else rows
        return Operand(self.values[picked], self.norm[rows], self.residue[rows])


def operand(
    vectors: np.ndarray, mean: np.ndarray, dtype: torch.dtype, *, left: bool, device="cpu"
) -> Operand:
    """vectors: (n, d) float32; mean: (d,) float64, the same on both sides (smaller norms, tighter bound)."""
    n, d = vectors.shape
    values = torch.empty(n, d + 6, dtype=dtype)
    norm, residue = np.empty(n), np.empty(n)
    centre = torch.from_numpy(mean)
    for start in range(0, n, 4096):
        rows = slice(start, min(start + 4096, n))
        exact = torch.from_numpy(vectors[rows]).double() - centre
        rounded = exact.float().to(dtype)
        values[rows, :d] = rounded
        residue[rows] = (exact - rounded.double()).norm(dim=1).numpy()
        square = exact.square().sum(1)
        norm[rows] = square.sqrt().numpy()
        ones, split = (
            (slice(d + 3, d + 6), slice(d, d + 3)) if left else (slice(d, d + 3), slice(d + 3, d + 6))
        )
        values[rows, ones] = 1.0
        rest = -square / 2
        for column in range(split.start, split.stop):
            part = rest.float().to(dtype)
            values[rows, column] = part
            rest = rest - part.double()
    return Operand(values.to(device), norm, residue)


def error_bounds(a: Operand, b: Operand) -> tuple[np.ndarray, float]:
    """(e (n_a,) float64, r): the product p of row i with any row of b satisfies |p + D/2| <= e_i + r D/2.

    D is the true squared distance. e holds the rounding of the entries (Cauchy-Schwarz on the residues), of
    the split norms and of the accumulation in float32 in any order; r that of the result's own type.
    """
    dtype, length = a.values.dtype, a.values.shape[1]
    norm, residue = b.norm.max(), b.residue.max()
    magnitude = a.norm * norm + (a.norm**2 + norm**2) / 2
    e = a.residue * norm + (a.norm + a.residue) * residue + magnitude * (1.01 * (length + 8) * 2.0**-24)
    unit = _UNIT[dtype]
    return e * (1 + 2 * unit) + 1e-30, 1.01 * unit
