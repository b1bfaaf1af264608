"""Drawing with signed distances, in float64 operations that IEEE 754 rounds the same on every machine.

Only + - * /, square roots, comparisons and floor are applied to arrays, element by element: numpy's sin,
exp or power differ in the last bit between processors and C libraries, and reductions in their order.
Lengths are in nominal units: pixels at scale 1. Colours are linear light, 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np

from demo_data.randomness import Draw

Colour = tuple[float, float, float]
Point = tuple[float, float]


@lru_cache(4096)
def cosine_sine(turns: float) -> Point:
    """Cosine and sine of an angle in turns, from a series of our own: the C library's last bit varies."""
    turns = turns - float(np.floor(turns))
    quarter = int(turns * 4)
    angle = (turns * 4 - quarter) * 1.5707963267948966
    square = angle * angle
    cosine, sine, term = 0.0, 0.0, 1.0
    for k in range(0, 24, 2):
        cosine += term
        sine += term * angle / (k + 1)
        term = -term * square / ((k + 1) * (k + 2))
    return [(cosine, sine), (-sine, cosine), (-cosine, -sine), (sine, -cosine)][quarter]


@dataclass(frozen=True)
class Grid:
    """Pixel centres of an image or of a window of it, in nominal units; x and y are (H, W) float64."""

    x: np.ndarray
    y: np.ndarray
    scale: float
    """Pixels per nominal unit."""
    rows: slice = field(default_factory=lambda: slice(None))
    columns: slice = field(default_factory=lambda: slice(None))

    @classmethod
    def of_size(cls, width: float, height: float, scale: float) -> "Grid":
        """The grid of an image of `width` x `height` nominal units."""
        w, h = int(width * scale + 0.5), int(height * scale + 0.5)
        x, y = (np.arange(w) + 0.5) / scale, (np.arange(h) + 0.5) / scale
        return cls(*np.broadcast_arrays(x[None, :], y[:, None]), scale=scale)

    def window(self, x: float, y: float, reach: float) -> "Grid":
        """The part of this grid within `reach` of (x, y), possibly empty."""
        h, w = self.x.shape

        def part(centre: float, end: int) -> slice:
            low = min(max(int((centre - reach) * self.scale), 0), end)
            return slice(low, min(max(int((centre + reach) * self.scale) + 2, low), end))

        rows, columns = part(y, h), part(x, w)
        return Grid(self.x[rows, columns], self.y[rows, columns], self.scale, rows, columns)

    def local(self, x: float, y: float, turns: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates relative to a part at (x, y), turned by `turns`."""
        c, s = cosine_sine(turns)
        dx, dy = self.x - x, self.y - y
        return dx * c + dy * s, dy * c - dx * s


def clip01(x: np.ndarray) -> np.ndarray:
    """`x` limited to [0, 1]."""
    return np.minimum(np.maximum(x, 0.0), 1.0)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth cubic between; `low` above `high` falls instead of rising."""
    t = clip01((x - low) / (high - low))
    return t * t * (3.0 - 2.0 * t)


def wave(t: np.ndarray) -> np.ndarray:
    """A sine-like wave of period 1 and range [-1, 1], made of parabolas."""
    s = t - np.floor(t)
    return np.where(s < 0.5, 16.0 * s * (0.5 - s), -16.0 * (s - 0.5) * (1.0 - s))


def coverage(distance: np.ndarray, grid: Grid, softness: float = 0.0) -> np.ndarray:
    """Share of each pixel inside a shape (distance negative inside) whose edge is `softness` units wide."""
    if softness == 0.0:
        return clip01(0.5 - distance * grid.scale)
    return smoothstep(softness / 2, -softness / 2, distance)


def length(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Euclidean length of (u, v)."""
    return np.sqrt(u * u + v * v)


def box(
    u: np.ndarray, v: np.ndarray, half_width: float, half_height: float, radius: float = 0.0
) -> np.ndarray:
    """Signed distance to a rectangle with rounded corners."""
    a, b = np.abs(u) - (half_width - radius), np.abs(v) - (half_height - radius)
    outside = length(np.maximum(a, 0.0), np.maximum(b, 0.0))
    return outside + np.minimum(np.maximum(a, b), 0.0) - radius


def segment(x: np.ndarray, y: np.ndarray, start: Point, end: Point) -> np.ndarray:
    """Distance to the line from `start` to `end`."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    dx, dy = x - start[0], y - start[1]
    t = clip01((dx * ex + dy * ey) / max(ex * ex + ey * ey, 1e-9))
    return length(dx - t * ex, dy - t * ey)


def polyline(x: np.ndarray, y: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """Distance to a chain of lines."""
    distance = segment(x, y, points[0], points[1])
    for start, end in pairwise(points[1:]):
        distance = np.minimum(distance, segment(x, y, start, end))
    return distance


def polygon(x: np.ndarray, y: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """Signed distance to a simple polygon."""
    distance = polyline(x, y, [*points, points[0]])
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < (bx - ax) * ((y - ay) / (by - ay)) + ax)
    return np.where(inside, -distance, distance)


def regular(u: np.ndarray, v: np.ndarray, sides: int, inner: float, outer: float) -> np.ndarray:
    """Signed distance to a star of `sides` points between two radii (equal radii: 2 * sides corners)."""
    points = []
    for k in range(2 * sides):
        c, s = cosine_sine(k / (2 * sides))
        radius = outer if k % 2 == 0 else inner
        points.append((c * radius, s * radius))
    return polygon(u, v, points)


@dataclass(frozen=True)
class Noise:
    """Smooth random values in [-1, 1] over the plane, repeating after `lattice` cells."""

    values: np.ndarray
    cell: float

    @classmethod
    def drawn(cls, draw: Draw, cell: float, lattice: int = 64) -> "Noise":
        """Noise whose bumps are about `cell` units wide."""
        return cls(draw.uniforms((lattice, lattice)) * 2.0 - 1.0, cell)

    def at(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The values at the given coordinates (any shape)."""
        n = self.values.shape[0]
        u, v = u / self.cell, v / self.cell
        i, j = np.floor(v), np.floor(u)
        s, t = v - i, u - j
        s, t = s * s * (3.0 - 2.0 * s), t * t * (3.0 - 2.0 * t)
        i, j = i.astype(np.int64) % n, j.astype(np.int64) % n
        below, right = (i + 1) % n, (j + 1) % n
        top = self.values[i, j] * (1.0 - t) + self.values[i, right] * t
        bottom = self.values[below, j] * (1.0 - t) + self.values[below, right] * t
        return top * (1.0 - s) + bottom * s


class Canvas:
    """An image in the making: `pixels` is (H, W, 3) float64 linear light."""

    def __init__(self, grid: Grid, colour: Colour = (0.0, 0.0, 0.0)) -> None:
        self.grid = grid
        self.pixels = np.empty((*grid.x.shape, 3))
        self.pixels[:] = colour

    def blend(self, window: Grid, alpha: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Lays a colour ((3,) or (h, w, 3)) with opacity `alpha` (h, w) over the window."""
        target = self.pixels[window.rows, window.columns]
        a = alpha[:, :, None]
        target[:] = target * (1.0 - a) + np.asarray(colour) * a

    def tint(self, window: Grid, alpha: np.ndarray, factor: Colour | np.ndarray) -> None:
        """Multiplies the window by a colour with strength `alpha` (h, w): shading and texture stay."""
        target = self.pixels[window.rows, window.columns]
        a = alpha[:, :, None]
        target[:] = target * (1.0 - a + np.asarray(factor) * a)


def lit(albedo: Colour | np.ndarray, brightness: np.ndarray, gloss: np.ndarray | float = 0.0) -> np.ndarray:
    """(h, w, 3) colour of a surface under `brightness` (h, w) with a white highlight `gloss`."""
    return np.asarray(albedo) * brightness[:, :, None] + np.zeros(3) + np.asarray(gloss)[..., None]


def slopes(height: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of a height field (h, w) along x and y, per nominal unit."""
    padded = np.pad(height, 1, mode="edge")
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) * (scale / 2), (padded[2:, 1:-1] - padded[:-2, 1:-1]) * (
        scale / 2
    )
