"""Feature maps regrouped by cell: (n, C, h, w) to (h*w, n, c), the layout of per-position statistics."""

import numba
import numpy as np


@numba.njit(cache=True)
def regroup(block, first, picked, out, start, at):
    """Writes block[i, picked[k], cell] to out[cell, start + i, at + k], tile by tile.

    block: (b, C, cells) float32; first: (C, cells) of the first image. Returns the sum of what was written
    (not finite if any value is not) and whether anything differs from the first image.
    """
    images, cells, width = block.shape[0], block.shape[2], picked.shape[0]
    total, varies = 0.0, False
    for i in range(images):
        for low in range(0, cells, 32):
            high = min(low + 32, cells)
            for left in range(0, width, 32):
                for cell in range(low, high):
                    for k in range(left, min(left + 32, width)):
                        value = block[i, picked[k], cell]
                        out[cell, start + i, at + k] = value
                        total += value
                        varies |= value != first[picked[k], cell]
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
