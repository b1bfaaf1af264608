"""Greedy k-centre selection, exact, a block of centres at a time.

The selection is that of the plain greedy algorithm on canonical distances: the squared distance of two
float32 vectors is summed in float64, entry by entry, and the lowest index wins ties. It therefore depends
neither on the BLAS nor on threads or processor: those only speed up what rules points out.

1. All points know their exact squared distance m to the centres chosen so far. The `_CANDIDATES` largest are
taken
   out; every other point is bounded by the largest of the rest, because distances only shrink. So greedy
   among the candidates is greedy among all while its maximum exceeds that bound: some hundreds of centres
   per block.
2. One matrix product then compares all points with the block's centres, as a filter with a rigorous error
bound
   (`bounds.py`); where a distance may have shrunk it is computed canonically.
3. A point with m <= (R/2)^2 cannot get closer to a centre chosen at distance R, since the distance to a set
(and a
   mean of distances) is 1-Lipschitz: such points stay out of the product.
"""

import numba
import numpy as np
import torch

from spd.detectors.bounds import error_bounds, filter_dtype, operand
from spd.detectors.threads import use_torch_threads

_CANDIDATES = 1024
_ROWS = 2048  # rows of one filter product: its result stays in the caches
_TILE = 128  # candidates updated together, one SIMD lane each, so that every sum keeps its order


@numba.njit(cache=True, inline="always")
def squared_distance(a, b):
    """Canonical squared distance of two float32 vectors: float64, summed entry by entry."""
    total = 0.0
    for k in range(a.shape[0]):
        difference = np.float64(a[k]) - np.float64(b[k])
        total += difference * difference
    return total


@numba.njit(cache=True, parallel=True)
def distances_to(points, centre):
    """(N,) canonical squared distances of (N, d) float32 points to one of them."""
    out = np.empty(points.shape[0])
    for i in numba.prange(points.shape[0]):
        out[i] = squared_distance(points[i], centre)
    return out


@numba.njit(cache=True)
def _greedy_among(tiles, indices, m, bound, bound_index, limit):
    """Greedy choice among candidates while no outside point can win; returns positions and their m when
    chosen.

    tiles: (B / _TILE, d, _TILE) float32; indices: ascending, -1 for padding; m: (B,), changed; an outside
    point has at most `bound`, and none with exactly that has an index below `bound_index`.
    """
    chosen, radii = np.empty(limit, np.int64), np.empty(limit)
    sums = np.empty(tiles.shape[2])
    count = 0
    while count < limit:
        best = np.argmax(m)
        if count and not (m[best] > bound or (m[best] == bound and indices[best] < bound_index)):
            break
        chosen[count], radii[count] = best, m[best]
        count += 1
        m[best] = -1.0
        home, lane = best // tiles.shape[2], best % tiles.shape[2]
        for t in range(tiles.shape[0]):
            sums[:] = 0.0
            for k in range(tiles.shape[1]):
                centre = np.float64(tiles[home, k, lane])
                row = tiles[t, k]
                for j in range(row.shape[0]):
                    difference = np.float64(row[j]) - centre
                    sums[j] += difference * difference
            for j in range(sums.shape[0]):
                at = t * tiles.shape[2] + j
                if sums[j] < m[at]:
                    m[at] = sums[j]
    return chosen[:count], radii[:count]


@numba.njit(cache=True, fastmath={"nnan", "ninf", "nsz"}, inline="always")
def _largest(row):
    top = row[0]
    for j in range(row.shape[0]):
        top = max(top, row[j])
    return top


@numba.njit(cache=True, parallel=True)
def _shrink(products, rows, points, centres, m, e, r):
    """Lowers m to the centres' canonical distances wherever the filter cannot exclude that they are
    smaller."""
    for n in numba.prange(products.shape[0]):
        i = rows[n]
        # p >= -(1 + r) D / 2 - e, so D < m implies p > -(1 + r) m / 2 - e; nextafter covers the cast to
        # float32.
        threshold = np.float32(-(1.0 + r) * m[i] / 2.0 - e[n])
        threshold -= abs(threshold) * np.float32(2.0**-22)
        if _largest(products[n]) >= threshold:
            for j in range(products.shape[1]):
                if products[n, j] >= threshold:
                    distance = squared_distance(points[i], centres[j])
                    if distance < m[i]:
                        m[i] = distance
                        threshold = np.float32(-(1.0 + r) * m[i] / 2.0 - e[n])
                        threshold -= abs(threshold) * np.float32(2.0**-22)


def _start(points: np.ndarray, start: str, seed: int) -> tuple[np.ndarray, list[int]]:
    """First squared distances (N,) float64 and the centres chosen already."""
    rng = np.random.default_rng(seed)
    if start == "random":
        first = int(rng.integers(len(points)))
        m = distances_to(points, points[first])
        m[first] = -1.0
        return m, [first]
    anchors = rng.choice(len(points), min(10, len(points)), replace=False)
    total = np.zeros(len(points))
    for anchor in anchors:
        total += np.sqrt(distances_to(points, points[anchor]))
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
    n, d = points.shape
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
        if m[indices].max() <= 0:  # only copies of centres are left
            rest = np.flatnonzero(m >= 0)[: size - len(chosen)]
            chosen.extend(rest.tolist())
            break
        padded = -(-len(indices) // _TILE) * _TILE
        among = np.full(padded, -1.0)
        among[: len(indices)] = m[indices]
        tiles = np.zeros((padded, d), np.float32)
        tiles[: len(indices)] = points[indices]
        tiles = np.ascontiguousarray(tiles.reshape(-1, _TILE, d).transpose(0, 2, 1))
        names = np.full(padded, -1)
        names[: len(indices)] = indices
        positions, radii = _greedy_among(tiles, names, among, bound, bound_index, size - len(chosen))
        new = indices[positions]
        chosen.extend(new.tolist())
        m[new] = -1.0
        if len(chosen) < size:
            _synchronise(points, m, left, new, mean, float(radii.min()))
    return np.asarray(chosen[:size], np.int64)


def _synchronise(points, m, left, new, mean, radius) -> None:
    """Brings every m up to date with the centres `new`, the smallest of which was chosen at squared
    distance `radius`."""
    centres = points[new]
    right = operand(centres, mean, left.values.dtype, left=False)
    transposed = right.values.T.contiguous()
    active = np.flatnonzero(m > radius / 4 * (1 - 1e-9))
    everything = len(active) > 0.9 * len(m)
    total = len(m) if everything else len(active)
    products = torch.empty(_ROWS, len(new), dtype=left.values.dtype)
    widened = torch.empty(_ROWS, len(new))
    for begin in range(0, total, _ROWS):
        end = min(begin + _ROWS, total)
        rows = np.arange(begin, end) if everything else active[begin:end]
        part = left[begin:end] if everything else left[rows]
        e, r = error_bounds(part, right)
        torch.mm(part.values, transposed, out=products[: end - begin])
        widened[: end - begin] = products[: end - begin]
        _shrink(widened[: end - begin].numpy(), rows, points, centres, m, e, r)
