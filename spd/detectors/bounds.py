"""Half squared distances by one matrix product, in float32 or bfloat16, with a rigorous bound of their error.

|a - b|^2 / 2 = |a|^2 / 2 + |b|^2 / 2 - ab. Both norms ride along as three extra entries each (a high, a
middle and a low part, so that even bfloat16 carries them to 24 bits), hence the product itself is
|a - b|^2 / 2: it needs no further pass, and rounding its result to bfloat16 costs a share of the distance,
not of the norms.

Products are compared as the integers that their bits are: for numbers from zero up the order is the same,
and the few that rounding made negative come out smallest, as they should.
"""

from dataclasses import dataclass

import llvmlite.binding
import numba
import numpy as np
import torch
from torch import Tensor

_UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
_BITS = {torch.float32: (np.uint32, torch.int32), torch.bfloat16: (np.uint16, torch.int16)}
_LARGEST = 1e37  # squares beyond it might overflow float32 on their way
_STEP = 32  # entries that AMX multiplies at a time: a width in between costs up to half of the speed


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
    """One side of the product. values: (n, d + 6 and some zeros); norm: |v|; residue: |v - rounded v|; both
    (n,) float64."""

    values: Tensor
    norm: np.ndarray
    residue: np.ndarray

    def __getitem__(self, rows) -> "Operand":
        picked = torch.as_tensor(rows) if isinstance(rows, np.ndarray) else rows
        return Operand(self.values[picked], self.norm[rows], self.residue[rows])


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _squares(exact, rounded):
    """|exact|^2 and |exact - rounded|^2."""
    square = lost = 0.0
    for k in range(exact.shape[0]):
        difference = exact[k] - np.float64(rounded[k])
        square += exact[k] * exact[k]
        lost += difference * difference
    return square, lost


@numba.njit(cache=True, parallel=True)
def _fill(vectors, mean, left, shift, values, norm, residue):
    """Rows of an operand as bit patterns: float32's upper 32 - `shift` bits, rounded to nearest even."""
    n, d = vectors.shape
    half = (1 << shift) >> 1
    keep = 0xFFFFFFFF ^ ((1 << shift) - 1)
    one, sign = 0x3F800000, 0 if left else 0x80000000
    ones, split = (d + 3, d) if left else (d, d + 3)
    for i in numba.prange(n):
        exact = np.empty(d)
        rounded = np.empty(d, np.float32)
        bits = rounded.view(np.uint32)
        for k in range(d):
            exact[k] = np.float64(vectors[i, k]) - mean[k]
            rounded[k] = np.float32(exact[k])
        if shift:
            for k in range(d):
                bits[k] = (bits[k] + half - 1 + ((bits[k] >> shift) & 1)) & keep
        for k in range(d):
            values[i, k] = (bits[k] ^ sign) >> shift
        square, lost = _squares(exact, rounded)
        norm[i] = np.sqrt(square)
        residue[i] = np.sqrt(lost) if square < _LARGEST else np.inf
        rest = square / 2
        for column in range(3):
            rounded[0] = np.float32(rest)
            if shift:
                bits[0] = (bits[0] + half - 1 + ((bits[0] >> shift) & 1)) & keep
            values[i, split + column] = bits[0] >> shift
            values[i, ones + column] = one >> shift
            rest -= np.float64(rounded[0])


def operand(
    vectors: np.ndarray, mean: np.ndarray, dtype: torch.dtype, *, left: bool, device="cpu"
) -> Operand:
    """vectors: (n, d) float32; mean: (d,) float64, the same on both sides (smaller norms, tighter bound)."""
    n, d = vectors.shape
    unsigned = _BITS[dtype][0]
    values = np.zeros((n, -(-(d + 6) // _STEP) * _STEP), unsigned)
    norm, residue = np.empty(n), np.empty(n)
    _fill(vectors, mean, left, shift_of(dtype), values, norm, residue)
    return Operand(torch.from_numpy(values).view(dtype).to(device), norm, residue)


def error_bounds(a: Operand, b: Operand) -> tuple[np.ndarray, float]:
    """(e (n_a,) float64, r): the product p of row i with any row of b satisfies |p - D/2| <= e_i + r D/2.

    D is the true squared distance. e holds the rounding of the entries (Cauchy-Schwarz on the residues), of
    the split norms and of the accumulation in float32 in any order; r that of the result's own type.
    Infinite where the vectors are too large for float32.
    """
    dtype, length = a.values.dtype, a.values.shape[1]
    norm, residue = b.norm.max(), b.residue.max()
    magnitude = a.norm * norm + (a.norm**2 + norm**2) / 2
    e = a.residue * norm + (a.norm + a.residue) * residue + magnitude * (1.01 * (length + 8) * 2.0**-24)
    unit = _UNIT[dtype]
    return e * (1 + 2 * unit) + 1e-30, 1.01 * unit


def shift_of(dtype: torch.dtype) -> int:
    """Bits of a float32 that the type lacks."""
    return 16 if dtype == torch.bfloat16 else 0


def as_integers(products: Tensor) -> np.ndarray:
    """The products' bits as int16 or int32, on the CPU: compare them with `limit`."""
    return products.view(_BITS[products.dtype][1]).cpu().numpy()


@numba.njit(cache=True)
def limit(squared, e, r, shift):
    """The largest integer that a product may be whose squared distance is below `squared`; everything is
    within it where float32 cannot tell."""
    half = ((1.0 + r) * max(squared, 0.0) / 2.0 + e) * (1.0 + 2.0**-22)
    if not half < _LARGEST:
        return 0x7FFFFFFF >> shift
    single = np.empty(1, np.float32)
    single[0] = half
    return (np.int64(single.view(np.uint32)[0]) + (1 << shift) - 1) >> shift


@numba.njit(cache=True)
def smallest(row):
    """Index of the first smallest integer of a row."""
    least = row[0]
    for j in range(row.shape[0]):
        least = min(least, row[j])
    for j in range(row.shape[0]):
        if row[j] == least:
            return j
    return 0


@numba.njit(cache=True, inline="always")
def any_within(row, most):
    """Whether an integer of the row is at most `most`; several at a time."""
    found, most = False, row.dtype.type(most)
    for j in range(row.shape[0]):
        found |= row[j] <= most
    return found


# Not inlined by numba: the flags that let it use SIMD would be lost.
@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _float32_distance(a, b):
    total = np.float32(0.0)
    for k in range(a.shape[0]):
        difference = a[k] - b[k]
        total += difference * difference
    return total


@numba.njit(cache=True, inline="always")
def surely_beyond(a, b, squared):
    """Whether float32 alone shows that two float32 vectors are farther apart than `squared`.

    Nothing cancels, so whatever the order its relative error is at most (d + 4) 2^-24.
    """
    rough = np.float64(_float32_distance(a, b))
    return rough * (1.0 - (a.shape[0] + 8) * 2.0**-24) > squared and rough < np.inf
