"""Compiled loops over pixels: positives with their regions, and negatives counted between positive scores.

Scores are compared as order-preserving integers ("keys"): the bits of a float32, arranged so that unsigned
order is numeric order, with -0.0 mapped onto 0.0. This is exact for subnormals and infinities, and integer
shifts of keys are monotone bins. All kernels stand in one file because numba's cache notices changes of a
kernel's own file only.
"""

import numba
import numpy as np

CELL_BITS = 16
"""A cell is all scores that share the upper 16 bits of their key: 128 cells an octave."""
FLAG = np.uint32(1 << 31)
"""Marks a counter whose range of keys holds a positive score and more keys than that one."""
COUNT_LIMIT = (1 << 31) - 1
"""Pixels that may be counted before the counters must be emptied."""

_SIGN = np.uint32(1 << 31)
_CELL = np.uint32(CELL_BITS)
LOW = np.uint32((1 << CELL_BITS) - 1)
_INFINITY = np.uint32(0x7F800000)
_BLOCK = 2048  # pixels whose indices stay in the first-level cache


@numba.njit(inline="always")
def _key(bits):
    bits = np.uint32(0) if bits == _SIGN else bits  # -0.0 == 0.0
    negative = np.uint32(np.int32(bits) >> np.int32(31))  # all ones below zero
    return np.uint32(bits ^ (negative | _SIGN))


def scores_of_keys(keys: np.ndarray) -> np.ndarray:
    """float32 scores of uint32 keys, the inverse of the kernels' order (0.0 for both zeros)."""
    return np.where(keys >> 31, keys ^ _SIGN, ~keys).astype(np.uint32).view(np.float32)


@numba.njit(cache=True)
def mask_bits(mask):
    """Bitwise or of a uint8 mask's pixels: 0 when empty, 1 when {0, 1}, more when other values occur."""
    found = np.uint8(0)
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            found |= mask[row, column]
    return found


@numba.njit(cache=True)
def region_pixels(bits, mask):
    """Positive pixels of one image as `key << 32 | area of region`, (P,) uint64, and its number of regions.

    `bits`: (H, W) uint32, the float32 scores' bits; `mask`: (H, W) uint8 {0, 1}. Regions are 8-connected,
    found as horizontal runs joined by union-find.
    """
    height, width = mask.shape
    most = height * ((width + 1) // 2)
    row_of = np.empty(most, np.int32)
    start = np.empty(most, np.int32)
    stop = np.empty(most, np.int32)
    parent = np.empty(most, np.int32)
    runs = 0
    above, above_end = 0, 0  # runs of the previous row
    positives = 0
    for row in range(height):
        first = runs
        found = np.uint8(0)
        for column in range(width):  # vectorised: most rows are empty
            found |= mask[row, column]
        column = 0
        while found and column < width:
            if mask[row, column] == 0:
                column += 1
                continue
            begin = column
            while column < width and mask[row, column]:
                column += 1
            row_of[runs], start[runs], stop[runs], parent[runs] = row, begin, column, runs
            positives += column - begin
            # Diagonal neighbours touch, hence <= on both sides.
            while above < above_end and stop[above] < begin:
                above += 1
            touching = above
            while touching < above_end and start[touching] <= column:
                a, b = runs, touching
                while parent[a] != a:
                    parent[a] = parent[parent[a]]
                    a = parent[a]
                while parent[b] != b:
                    parent[b] = parent[parent[b]]
                    b = parent[b]
                parent[max(a, b)] = min(a, b)
                touching += 1
            runs += 1
        above, above_end = first, runs
    area = np.zeros(runs, np.uint64)
    regions = 0
    for run in range(runs):  # a parent always precedes its children: one forward step reaches the root
        parent[run] = parent[parent[run]]
        regions += parent[run] == run
        area[parent[run]] += np.uint64(stop[run] - start[run])
    packed = np.empty(positives, np.uint64)
    n = 0
    for run in range(runs):
        for column in range(start[run], stop[run]):
            packed[n] = np.uint64(_key(bits[row_of[run], column])) << np.uint64(32) | area[parent[run]]
            n += 1
    return packed, regions


@numba.njit(cache=True)
def group_positives(packed):
    """Distinct keys (k,) uint32 ascending, counts (k,) int64 and shares (k,) float64 of sorted positives.

    A share is the sum over the key's pixels of 1 / area of their region.
    """
    distinct = min(packed.size, 1)
    for i in range(1, packed.size):
        distinct += packed[i] >> np.uint64(32) != packed[i - 1] >> np.uint64(32)
    keys = np.empty(distinct, np.uint32)
    counts = np.zeros(distinct, np.int64)
    shares = np.zeros(distinct, np.float64)
    k = -1
    for i in range(packed.size):
        key = np.uint32(packed[i] >> np.uint64(32))
        if k < 0 or keys[k] != key:
            k += 1
            keys[k] = key
        counts[k] += 1
        shares[k] += 1.0 / np.float64(packed[i] & np.uint64(0xFFFFFFFF))
    return keys, counts, shares


@numba.njit(cache=True)
def count_pixels(bits, base, shift, first, keys, counters, below, equal):
    """Adds one image's pixels, (n,) uint32 score bits, to the counters; True when a NaN was met.

    `base`, `shift`: (2^16,) uint32 a cell, its first counter and the log2 of the keys a counter spans.
    `keys`: (k,) uint32 ascending, of which `keys[first[cell]:first[cell + 1]]` lie in the cell. A pixel
    whose counter is flagged is looked up among these: it is `equal` to one (k,), or lies just `below` it
    (k,) and within its counter, or above all of its counter's.
    """
    index = np.empty(_BLOCK, np.uint32)
    unsettled = np.empty(_BLOCK, np.uint32)
    nan = np.uint32(0)
    for begin in range(0, bits.size, _BLOCK):
        block = bits[begin : begin + _BLOCK]
        # Two loops, so that the first is vectorised and the misses of the second overlap.
        for j in range(block.size):
            nan |= np.uint32((block[j] & ~_SIGN) > _INFINITY)
            key = _key(block[j])
            cell = key >> _CELL
            index[j] = base[cell] + ((key & LOW) >> shift[cell])
        waiting = 0
        for j in range(block.size):
            count = counters[index[j]]
            counters[index[j]] = count + np.uint32(1)
            unsettled[waiting] = block[j]  # kept only if flagged: no branch to mispredict
            waiting += np.int64(count >> np.uint32(31))
        for j in range(waiting):
            key = _key(unsettled[j])
            cell = key >> _CELL
            low, end = first[cell], first[cell + np.uint32(1)]
            high = end
            while low < high:
                middle = (low + high) >> 1
                if keys[middle] < key:
                    low = middle + 1
                else:
                    high = middle
            if low < end:
                if keys[low] == key:
                    equal[low] += 1
                elif (keys[low] ^ key) >> shift[cell] == 0:
                    below[low] += 1
    return nan != 0


@numba.njit(cache=True)
def count_above(totals, index, exact, below, equal):
    """Pixels above and from each positive score, both (k,) int64, from the filled counters.

    `totals`: (m,) counts without flags; `index`: (k,) counter of each key, ascending; `exact`: (k,) bool,
    the counter spans one key.
    """
    above = np.empty(index.size, np.int64)
    from_ = np.empty(index.size, np.int64)
    higher = 0  # pixels in counters above the current one
    j = totals.size - 1
    i = index.size - 1
    while i >= 0:
        while j > index[i]:
            higher += totals[j]
            j -= 1
        if exact[i]:
            above[i], from_[i] = higher, higher + totals[j]
            i -= 1
            continue
        lowest = i
        inside = below[i] + equal[i]
        while lowest > 0 and index[lowest - 1] == index[i]:
            lowest -= 1
            inside += below[lowest] + equal[lowest]
        passed = higher + totals[j] - inside
        while i >= lowest:
            above[i], from_[i] = passed, passed + equal[i]
            passed += equal[i] + below[i]
            i -= 1
    return above, from_
