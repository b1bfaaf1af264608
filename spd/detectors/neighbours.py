"""Exact nearest neighbours in a memory bank: distances in float64, lowest index among equals.

torch: one matrix product rules candidates out (`bounds.py`), the rest is computed canonically, best first.
faiss: IndexFlatL2 proposes the k nearest and a few more, whose distances are recomputed canonically.
"""

from importlib.util import find_spec

import numba
import numpy as np
import torch

from spd.detectors.bounds import error_bounds, filter_dtype, operand
from spd.detectors.coreset import _largest, squared_distance
from spd.detectors.threads import use_torch_threads

_ROWS = 256  # queries of one filter product
_NARROW = 256  # channels below which `auto` prefers faiss on a CPU
_SPARE = 8  # more neighbours than asked for, from faiss, against its float32 rounding


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, inline="always")
def _rough_distance(a, b):
    """Squared distance in float32, in any order: relative error at most (d + 4) 2^-24, as nothing cancels."""
    total = np.float32(0.0)
    for k in range(a.shape[0]):
        difference = a[k] - b[k]
        total += difference * difference
    return total


@numba.njit(cache=True, parallel=True)
def _refine(products, queries, bank, e, r, distances, indices):
    """The k nearest of each query; products[i, j] is -D/2 within e[i] + r D/2."""
    k = distances.shape[1]
    slack = (bank.shape[1] + 8) * 2.0**-24
    for i in numba.prange(products.shape[0]):
        row, best, where = products[i], distances[i], indices[i]
        best[:] = np.inf
        where[:] = bank.shape[0]
        if k == 1:  # the most promising first: it rules out almost everything else
            top = _largest(row)
            for j in range(row.shape[0]):
                if row[j] == top:
                    best[0], where[0] = squared_distance(queries[i], bank[j]), j
                    break
            threshold = -(1.0 + r) * best[0] / 2.0 - e[i]
        else:
            # Any k products bound the k-th distance: the k largest are found by insertion.
            largest = np.full(k, -np.inf)
            for j in range(row.shape[0]):
                value = row[j]
                if value > largest[k - 1]:
                    at = k - 1
                    while at > 0 and largest[at - 1] < value:
                        largest[at] = largest[at - 1]
                        at -= 1
                    largest[at] = value
            farthest = 2.0 * (-largest[k - 1] + e[i]) / (1.0 - r)
            threshold = -(1.0 + r) * max(farthest, 0.0) / 2.0 - e[i]
        for j in range(row.shape[0]):
            if row[j] < threshold:
                continue
            if _rough_distance(queries[i], bank[j]) * (1.0 - slack) > best[k - 1]:
                continue
            distance = squared_distance(queries[i], bank[j])
            if distance < best[k - 1] or (distance == best[k - 1] and j < where[k - 1]):
                if k == 1 and j == where[0]:
                    continue
                at = k - 1
                while at > 0 and (
                    best[at - 1] > distance or (best[at - 1] == distance and where[at - 1] > j)
                ):
                    best[at], where[at] = best[at - 1], where[at - 1]
                    at -= 1
                best[at], where[at] = distance, j
                closer = -(1.0 + r) * best[k - 1] / 2.0 - e[i]
                threshold = max(threshold, closer)


@numba.njit(cache=True, parallel=True)
def _exact(queries, bank, proposed, distances, indices):
    """Orders each query's proposals by canonical distance, then index, and keeps the first k."""
    k = distances.shape[1]
    for i in numba.prange(proposed.shape[0]):
        count = proposed.shape[1]
        values = np.empty(count)
        for c in range(count):
            values[c] = squared_distance(queries[i], bank[proposed[i, c]])
        taken = np.zeros(count, np.bool_)
        for rank in range(k):
            best = -1
            for c in range(count):
                if taken[c]:
                    continue
                if (
                    best < 0
                    or values[c] < values[best]
                    or (values[c] == values[best] and proposed[i, c] < proposed[i, best])
                ):
                    best = c
            taken[best] = True
            distances[i, rank], indices[i, rank] = values[best], proposed[i, best]


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
            # On a CPU faiss is faster than our filter in float32, and than any filter on few channels, where
            # the scan beside the product is what costs (benchmarks/knn.py).
            narrow = self.bank.shape[1] < _NARROW
            slow = self.device.type == "cpu" and (
                narrow or filter_dtype(filter, self.device) == torch.float32
            )
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
            # Centred, as every search here: float32 rounding grows with the norms.
            self._mean = self.bank.mean(0, dtype=np.float64)
            self.index.add(self._centred(self.bank))
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
                _, proposed = self.index.search(self._centred(queries[rows]), min(k + _SPARE, len(self.bank)))
                _exact(queries[rows], self.bank, proposed, distances[rows], indices[rows])
            return distances, indices
        for start in range(0, len(queries), _ROWS):
            rows = slice(start, start + _ROWS)
            left = operand(queries[rows], self._mean, self._dtype, left=True, device=self.device)
            e, r = error_bounds(left, self._operand)
            products = torch.mm(left.values, self._transposed).float().cpu().numpy()
            _refine(products, queries[rows], self.bank, e, r, distances[rows], indices[rows])
        return distances, indices

    def _centred(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self._mean).astype(np.float32)
