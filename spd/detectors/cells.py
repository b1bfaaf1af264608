"""Feature maps regrouped by cell: (n, C, h, w) to (h*w, n, c), the layout of per-position statistics."""

import numba
import numpy as np

_CELLS, _CHANNELS = 128, 64  # of a tile: read cell after cell, written channel after channel


@numba.njit(cache=True, fastmath={"reassoc", "nsz"})
def _read(block, image, channel, low, high, line):
    """Copies cells `low` to `high` of a channel into `line`; returns their sum."""
    total = np.float32(0.0)
    for cell in range(low, high):
        value = block[image, channel, cell]
        line[cell - low] = value
        total += value
    return total


@numba.njit(cache=True)
def regroup(block, first, picked, out, start, at):
    """Writes block[i, picked[k], cell] to out[cell, start + i, at + k], tile by tile.

    block: (b, C, cells) float32; first: (C, cells) of the first image. Returns the sum of what was written
    (not finite if any value is not) and whether anything differs from the first image.
    """
    images, cells, width = block.shape[0], block.shape[2], picked.shape[0]
    total, varies = 0.0, False
    tile = np.empty(
        (_CHANNELS, _CELLS + 1), np.float32
    )  # one more: columns do not fall on the same cache lines
    for low in range(0, cells, _CELLS):
        high = min(low + _CELLS, cells)
        for i in range(images):
            for left in range(0, width, _CHANNELS):
                right = min(left + _CHANNELS, width)
                for k in range(left, right):
                    total += _read(block, i, picked[k], low, high, tile[k - left])
                    if not varies:
                        varies = np.any(block[i, picked[k], low:high] != first[picked[k], low:high])
                for cell in range(low, high):
                    for k in range(left, right):
                        out[cell, start + i, at + k] = tile[k - left, cell - low]
    return total, varies


@numba.njit(cache=True)
def means(values):
    """(cells, c) float64 means over the images of (cells, n, c) float32."""
    cells, n, c = values.shape
    out = np.zeros((cells, c))
    for cell in range(cells):
        for i in range(n):
            for k in range(c):
                out[cell, k] += values[cell, i, k]
        for k in range(c):
            out[cell, k] /= n
    return out


@numba.njit(cache=True)
def centre(values, mean):
    """Subtracts (cells, c) float64 from (cells, n, c) float32 in place, rounding once."""
    for cell in range(values.shape[0]):
        for i in range(values.shape[1]):
            for k in range(values.shape[2]):
                values[cell, i, k] = np.float32(np.float64(values[cell, i, k]) - mean[cell, k])
