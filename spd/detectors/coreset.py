"""Greedy k-centre selection, exact, a block of centres at a time.

The selection is that of the plain greedy algorithm on canonical distances: the squared distance of two
float32 vectors is summed in float64, entry by entry, and the lowest index wins ties. It therefore depends
neither on the BLAS nor on threads or processor: those only speed up what rules points out.

1. All points know their exact squared distance m to the centres chosen so far. The `_CANDIDATES` largest are
   taken out; every other point is bounded by the largest of the rest, because distances only shrink. So
   greedy among the candidates is greedy among all while its maximum exceeds that bound: some hundreds of
   centres per block.
2. One matrix product compares the candidates with each other, another one all points with the block's
   centres. Both are filters with a rigorous error bound (`bounds.py`); where a distance may have shrunk it is
   computed canonically.
3. A point with m <= (R/2)^2 cannot get closer to a centre chosen at distance R, since the distance to a set
   (and a mean of distances) is 1-Lipschitz: such points stay out of the product.
"""

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
    smallest,
    surely_beyond,
)
from spd.detectors.threads import use_torch_threads

_CANDIDATES = 1024
_ROWS = 2048  # rows of one filter product: its result stays in the caches
_LANES = 128  # points measured together, one SIMD lane each, so that every sum keeps its order
_SCANNED = 64  # products compared at once


@numba.njit(cache=True, inline="always")
def squared_distance(a, b):
    """Canonical squared distance of two float32 vectors: float64, summed entry by entry."""
    total = 0.0
    for k in range(a.shape[0]):
        difference = np.float64(a[k]) - np.float64(b[k])
        total += difference * difference
    return total


@numba.njit(cache=True, parallel=True)
def distances_to(points, centres):
    """(K, N) canonical squared distances of (K, d) centres to (N, d) points, both float32."""
    n, d = points.shape
    out = np.empty((len(centres), n))
    for block in numba.prange(-(-n // _LANES)):
        start = block * _LANES
        count = min(_LANES, n - start)
        lanes, sums = np.empty((d, count), np.float32), np.empty(count)
        for i in range(count):
            for k in range(d):
                lanes[k, i] = points[start + i, k]
        for c in range(len(centres)):
            sums[:] = 0.0
            for k in range(d):
                centre, row = np.float64(centres[c, k]), lanes[k]
                for i in range(count):
                    difference = np.float64(row[i]) - centre
                    sums[i] += difference * difference
            # `out[...] = sums` compiles for seconds: numba's message of unequal shapes.
            for i in range(count):
                out[c, start + i] = sums[i]
    return out


@numba.njit(cache=True)
def _greedy_among(products, points, indices, m, e, r, shift, bound, bound_index, size):
    """Greedy choice among candidates while no outside point can win; returns positions and their m when
    chosen.

    products: (B, B) integers, of the candidates with each other, at most `e`, `r` off; points: (B, d);
    indices: ascending; m: (B,), changed; an outside point has at most `bound`, and none with exactly that has
    an index below `bound_index`.
    """
    chosen, radii = np.empty(size, np.int64), np.empty(size)
    most = np.empty(len(m), products.dtype)
    for j in range(len(m)):
        most[j] = limit(m[j], e, r, shift)
    count = 0
    while count < size:
        best = np.argmax(m)
        if count and not (m[best] > bound or (m[best] == bound and indices[best] < bound_index)):
            break
        chosen[count], radii[count] = best, m[best]
        count += 1
        m[best] = -1.0
        row = products[best]
        for j in range(len(m)):
            if row[j] <= most[j] and not surely_beyond(points[best], points[j], m[j]):
                distance = squared_distance(points[best], points[j])
                if distance < m[j]:
                    m[j] = distance
                    most[j] = limit(distance, e, r, shift)
    return chosen[:count], radii[:count]


@numba.njit(cache=True, parallel=True)
def _shrink(products, rows, points, centres, m, e, r, shift):
    """Lowers m to the centres' canonical distances wherever the filter cannot exclude that they are
    smaller."""
    for n in numba.prange(products.shape[0]):
        i = rows[n]
        row, most = products[n], limit(m[i], e[i], r, shift)
        if not any_within(row, most):
            continue
        # The most promising first: it rules out almost everything else.
        m[i] = min(m[i], squared_distance(points[i], centres[smallest(row)]))
        most = limit(m[i], e[i], r, shift)
        for start in range(0, row.shape[0], _SCANNED):
            part = row[start : start + _SCANNED]
            if not any_within(part, most):
                continue
            for j in range(part.shape[0]):
                if part[j] <= most and not surely_beyond(points[i], centres[start + j], m[i]):
                    m[i] = min(m[i], squared_distance(points[i], centres[start + j]))


def _start(points: np.ndarray, start: str, seed: int) -> tuple[np.ndarray, list[int]]:
    """First squared distances (N,) float64 and the centres chosen already."""
    rng = np.random.default_rng(seed)
    if start == "random":
        first = int(rng.integers(len(points)))
        m = distances_to(points, points[first : first + 1])[0]
        m[first] = -1.0
        return m, [first]
    anchors = rng.choice(len(points), min(10, len(points)), replace=False)
    total = np.zeros(len(points))
    for squared in distances_to(points, points[anchors]):
        total += np.sqrt(squared)
    return np.square(total / len(anchors)), []


def _candidates(m: np.ndarray, count: int) -> tuple[np.ndarray, float, int]:
    """The `count` largest (lowest index first among equals), ascending; bound and lowest index of the
    rest."""
    if len(m) <= count:
        return np.arange(len(m)), -np.inf, -1
    kth = np.partition(m, len(m) - count)[len(m) - count]
    above, equal = np.flatnonzero(m > kth), np.flatnonzero(m == kth)
    room = count - len(above)
    chosen = np.sort(np.concatenate([above, equal[:room]]))
    if len(equal) > room:
        return chosen, float(kth), int(equal[room])
    bound = m[m < kth].max()
    return chosen, float(bound), int(np.argmax(m == bound))


def greedy_coreset(
    points: np.ndarray,
    size: int,
    *,
    start: str = "mean_of_10",
    seed: int = 0,
    filter: str = "auto",
) -> np.ndarray:
    """Indices (size,) int64 of the greedy k-centre choice among (N, d) float32 points, in the order chosen.

    start: `mean_of_10` (first distances are the mean distance to ten random points, as the official code) or
    `random` (one random point is chosen first). A point is chosen once; when all others coincide with a
    centre, the lowest indices follow. filter: see `bounds.filter_dtype`; the result does not depend on it.
    Raises ValueError if `size` exceeds N, or for values that are not finite.
    """
    points = np.ascontiguousarray(points, np.float32)
    n = len(points)
    if not 1 <= size <= n:
        raise ValueError(f"a coreset of {size} patches cannot be chosen from {n}; lower coreset_size")
    mean = points.mean(0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise ValueError("coreset: patches contain values that are not finite")
    use_torch_threads()
    m, chosen = _start(points, start, seed)
    dtype = filter_dtype(filter, torch.device("cpu"))
    left = operand(points, mean, dtype, left=True)
    while len(chosen) < size:
        indices, bound, bound_index = _candidates(m, _CANDIDATES)
        among = m[indices]
        if among.max() <= 0:  # only copies of centres are left
            rest = np.flatnonzero(m >= 0)[: size - len(chosen)]
            chosen.extend(rest.tolist())
            break
        candidates = points[indices]
        right = operand(candidates, mean, dtype, left=False)
        own = left[indices]
        e, r = error_bounds(own, right)
        products = as_integers(torch.mm(own.values, right.values.T))
        positions, radii = _greedy_among(
            products,
            candidates,
            indices,
            among,
            float(e.max()),
            r,
            shift_of(dtype),
            bound,
            bound_index,
            size - len(chosen),
        )
        m[indices] = among
        chosen.extend(indices[positions].tolist())
        if len(chosen) < size:
            _synchronise(points, m, left, candidates[positions], right[positions], float(radii.min()))
    return np.asarray(chosen[:size], np.int64)


def _synchronise(points, m, left, centres, right, radius) -> None:
    """Brings every m up to date with new centres, the smallest of which was chosen at squared distance
    `radius`."""
    transposed = right.values.T.contiguous()
    active = np.flatnonzero(m > radius / 4 * (1 - 1e-9))
    everything = len(active) > 0.9 * len(m)
    total = len(m) if everything else len(active)
    products = torch.empty(_ROWS, len(centres), dtype=left.values.dtype)
    e, r = error_bounds(left, right)
    for begin in range(0, total, _ROWS):
        end = min(begin + _ROWS, total)
        rows = np.arange(begin, end) if everything else active[begin:end]
        part = left.values[begin:end] if everything else left.values[torch.from_numpy(rows)]
        torch.mm(part, transposed, out=products[: end - begin])
        integers = as_integers(products[: end - begin])
        _shrink(integers, rows, points, centres, m, e, r, shift_of(left.values.dtype))
