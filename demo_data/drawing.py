"""Drawing with signed distances, which are negative inside a shape.

Lengths are in units (pixels at scale 1), angles in turns, colours in linear light from 0 to 1.
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy import ndimage

Point = tuple[float, float]
Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A value for each place (u, v) of a plane."""


def stream(*key: str | int) -> np.random.Generator:
    """Random numbers named by a key, such as `0/gelcaps/normal/17`: no other image matters to an image."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def direction(turns: float) -> np.ndarray:
    """Unit vector (2,); a quarter turn points down the image."""
    return np.array((np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)))


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth cubic between; falls where `low` is above `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise(rng: np.random.Generator, cell: float) -> Field:
    """Smooth values in [-1, 1] with bumps about `cell` wide, repeating after 64 of them."""
    values = rng.uniform(-1, 1, (64, 64))

    def at(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        places = np.stack(np.broadcast_arrays(v, u)) / cell
        whole = np.floor(places)
        places = whole + smoothstep(0, 1, places - whole)
        return ndimage.map_coordinates(values, places, order=1, mode="grid-wrap")

    return at


def box(u: np.ndarray, v: np.ndarray, half_u: float, half_v: float, radius: float = 0.0) -> np.ndarray:
    """Signed distance to a rectangle around the origin with rounded corners."""
    a, b = np.abs(u) - half_u + radius, np.abs(v) - half_v + radius
    return np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0) - radius


def chain(x: np.ndarray, y: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """Distance to the lines from point to point."""
    distance = np.array(np.inf)
    for (ax, ay), (bx, by) in pairwise(points):
        ex, ey = bx - ax, by - ay
        t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, np.hypot(x - ax - t * ex, y - ay - t * ey))
    return distance


class Canvas:
    """An image in the making, or a window of one.

    x: (1, W) and y: (H, 1) of the pixels' centres; pixels: (H, W, 3) linear light; scale: pixels per unit.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, pixels: np.ndarray, scale: float) -> None:
        self.x, self.y, self.pixels, self.scale = x, y, pixels, scale

    @classmethod
    def blank(cls, width: float, height: float, scale: float) -> "Canvas":
        """A black canvas of `width` x `height` units."""
        x, y = ((np.arange(round(side * scale)) + 0.5) / scale for side in (width, height))
        return cls(x[None], y[:, None], np.zeros((len(y), len(x), 3)), scale)

    def near(self, x: float, y: float, reach: float) -> "Canvas":
        """The window within `reach` of a place; what is painted there is painted here."""
        left, right = np.searchsorted(self.x[0], (x - reach, x + reach))
        top, bottom = np.searchsorted(self.y[:, 0], (y - reach, y + reach))
        part = self.pixels[top:bottom, left:right]
        return Canvas(self.x[:, left:right], self.y[top:bottom], part, self.scale)

    def local(self, x: float, y: float, turns: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (u, v), each (H, W), relative to something at (x, y) that is turned by `turns`."""
        c, s = direction(turns)
        return (self.x - x) * c + (self.y - y) * s, (self.y - y) * c - (self.x - x) * s

    def inside(self, distance: np.ndarray, softness: float = 0.0) -> np.ndarray:
        """Share (H, W) of each pixel inside a shape whose edge is a pixel or `softness` units wide."""
        softness = softness or 1 / self.scale
        return smoothstep(softness / 2, -softness / 2, distance)

    def blend(self, alpha: np.ndarray, colour: Sequence[float] | np.ndarray) -> None:
        """Lays a colour, (3,) or (H, W, 3), over the canvas with opacity `alpha` (H, W)."""
        self.pixels += (np.asarray(colour) - self.pixels) * alpha[..., None]

    def tint(self, alpha: np.ndarray, factor: float | Sequence[float]) -> None:
        """Multiplies by a colour with strength `alpha` (H, W): shading and texture stay."""
        self.pixels *= 1 + (np.asarray(factor) - 1) * alpha[..., None]


class Light:
    """A soft lamp at the upper left, its direction varied by `swing` turns to either side."""

    def __init__(self, rng: np.random.Generator, swing: float = 0.03) -> None:
        self.z, self.ambient = rng.uniform(0.66, 0.74), rng.uniform(0.29, 0.34)
        self.x, self.y = direction(0.63 + rng.uniform(-swing, swing)) * np.sqrt(1 - self.z**2)

    def relief(self, height: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Brightness (about 1 where facing the lamp) and highlight (0 to 1) of a height field in units."""
        dy, dx = np.gradient(height, 1 / scale)
        towards, norm = self.z - dx * self.x - dy * self.y, np.sqrt(dx * dx + dy * dy + 1)
        mirror = np.maximum((towards + 1) / norm, 0) / np.sqrt(2 + 2 * self.z)
        return self.ambient + (1 - self.ambient) * 1.15 * np.maximum(towards / norm, 0), mirror**32

    def cast(self, canvas: Canvas, height: float, outline: Field) -> None:
        """Lays the shadow of something so high; outline: its signed distance when moved by (dx, dy)."""
        dx, dy = -self.x / self.z * height, -self.y / self.z * height
        canvas.tint(0.55 * canvas.inside(outline(dx, dy), height + 2), (0.12, 0.13, 0.16))
        canvas.tint(0.35 * canvas.inside(outline(dx / 4, dy / 4), 2), (0.12, 0.13, 0.16))
