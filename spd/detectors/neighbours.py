"""Exact nearest neighbours in a memory bank: distances in float64, lowest index among equals.

torch: one matrix product rules candidates out (`bounds.py`), the rest is computed canonically, best first.
faiss: IndexFlatL2 proposes the k nearest and a few more, whose distances are recomputed canonically.
"""

from importlib.util import find_spec

import numba
import numpy as np
import torch

from spd.detectors.bounds import (
    any_within,
    as_integers,
    error_bounds,
    filter_dtype,
    limit,
    operand,
    shift_of,
    surely_beyond,
)
from spd.detectors.coreset import squared_distance
from spd.detectors.threads import use_torch_threads

_ROWS = 256  # queries of one filter product
_SPARE = 8  # more neighbours than asked for, from faiss, against its float32 rounding
_SCANNED = 64  # products compared at once


@numba.njit(cache=True)
def _insert(distances, indices, distance, index):
    """Puts a neighbour into its place by distance, then index; the last one drops out."""
    at = distances.shape[0] - 1
    while at > 0 and (
        distances[at - 1] > distance or (distances[at - 1] == distance and indices[at - 1] > index)
    ):
        distances[at], indices[at] = distances[at - 1], indices[at - 1]
        at -= 1
    distances[at], indices[at] = distance, index


@numba.njit(cache=True)
def _smallest(row, values, where):
    """The smallest integers of a row, ascending, and their places."""
    k = values.shape[0]
    values[:] = np.iinfo(row.dtype).max
    where[:] = 0
    for start in range(0, row.shape[0], _SCANNED):
        part = row[start : start + _SCANNED]
        if any_within(part, values[k - 1]):
            for j in range(part.shape[0]):
                if part[j] < values[k - 1]:
                    _insert(values, where, part[j], start + j)


@numba.njit(cache=True, parallel=True)
def _refine(products, queries, bank, e, r, shift, distances, indices):
    """The k nearest of each query; products: (Q, K) integers within `e[i]`, `r` of half the squared
    distances."""
    k = distances.shape[1]
    for i in numba.prange(products.shape[0]):
        row, best, where = products[i], distances[i], indices[i]
        # The most promising first: they rule out almost everything else.
        values, promising = np.empty(k, np.int64), np.empty(k, np.int64)
        _smallest(row, values, promising)
        best[:] = np.inf
        where[:] = bank.shape[0]
        for j in promising:
            _insert(best, where, squared_distance(queries[i], bank[j]), j)
        most = limit(best[k - 1], e[i], r, shift)
        for start in range(0, row.shape[0], _SCANNED):
            part = row[start : start + _SCANNED]
            if not any_within(part, most):
                continue
            for j in range(part.shape[0]):
                index = start + j
                if (
                    part[j] > most
                    or index in promising
                    or surely_beyond(queries[i], bank[index], best[k - 1])
                ):
                    continue
                distance = squared_distance(queries[i], bank[index])
                if distance < best[k - 1] or (distance == best[k - 1] and index < where[k - 1]):
                    _insert(best, where, distance, index)


@numba.njit(cache=True, parallel=True)
def _exact(queries, bank, proposed, distances, indices):
    """The k nearest of each query's proposals (Q, P), P >= k."""
    k = distances.shape[1]
    for i in numba.prange(proposed.shape[0]):
        best, where = distances[i], indices[i]
        best[:] = np.inf
        where[:] = bank.shape[0]
        for j in proposed[i]:
            if surely_beyond(queries[i], bank[j], best[k - 1]):
                continue
            distance = squared_distance(queries[i], bank[j])
            if distance < best[k - 1] or (distance == best[k - 1] and j < where[k - 1]):
                _insert(best, where, distance, j)


class Neighbours:
    """Search in one memory bank.

    bank: (K, d) float32. search: `auto` | `torch` | `faiss`; filter: see `bounds.filter_dtype`; device:
    where the products are computed. Raises ImportError with the way out if faiss is asked for and missing.
    """

    def __init__(self, bank: np.ndarray, search: str = "auto", filter: str = "auto", device="cpu"):
        self.bank = np.ascontiguousarray(bank, np.float32)
        self.device = torch.device(device)
        self.index = None
        if search == "auto":
            # On a CPU faiss is faster than our filter in float32 (benchmarks/knn.py).
            slow = self.device.type == "cpu" and filter_dtype(filter, self.device) == torch.float32
            search = "faiss" if slow and find_spec("faiss") else "torch"
        if search == "faiss":
            try:
                import faiss
            except ImportError as error:
                raise ImportError(
                    "search: faiss needs the extra `cpu` (faiss-cpu) or `gpu` (faiss-gpu); "
                    "or choose search: torch"
                ) from error
            faiss.omp_set_num_threads(torch.get_num_threads())
            self.index = faiss.IndexFlatL2(self.bank.shape[1])
            if self.device.type == "cuda" and hasattr(faiss, "StandardGpuResources"):
                self.index = faiss.index_cpu_to_gpu(
                    faiss.StandardGpuResources(), self.device.index or 0, self.index
                )
            # Centred, as every search here: float32 rounding grows with the norms. Any centre will do.
            self._centre = self.bank.mean(0, dtype=np.float64).astype(np.float32)
            self.index.add(self.bank - self._centre)
        else:
            self._mean = self.bank.mean(0, dtype=np.float64)
            self._dtype = filter_dtype(filter, self.device)
            self._operand = operand(self.bank, self._mean, self._dtype, left=False, device=self.device)
            self._transposed = self._operand.values.T.contiguous()

    def __call__(self, queries: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (Q, k) float64, ascending, and indices (Q, k) int64. Raises ValueError if k >
        K."""
        if not 1 <= k <= len(self.bank):
            raise ValueError(f"{k} neighbours asked of a memory of {len(self.bank)}; lower `neighbours`")
        use_torch_threads()
        queries = np.ascontiguousarray(queries, np.float32)
        distances = np.empty((len(queries), k))
        indices = np.empty((len(queries), k), np.int64)
        if self.index is not None:
            for start in range(0, len(queries), 4096):
                rows = slice(start, start + 4096)
                centred = queries[rows] - self._centre
                _, proposed = self.index.search(centred, min(k + _SPARE, len(self.bank)))
                _exact(queries[rows], self.bank, proposed, distances[rows], indices[rows])
            return distances, indices
        for start in range(0, len(queries), _ROWS):
            rows = slice(start, start + _ROWS)
            left = operand(queries[rows], self._mean, self._dtype, left=True, device=self.device)
            e, r = error_bounds(left, self._operand)
            products = as_integers(torch.mm(left.values, self._transposed))
            shift = shift_of(self._dtype)
            _refine(products, queries[rows], self.bank, e, r, shift, distances[rows], indices[rows])
        return distances, indices
