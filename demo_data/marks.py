"""Marks on a surface: scratches, stains, fibres and grains, each laid over what is already painted."""

from dataclasses import dataclass

import numpy as np

from demo_data.drawing import (
    Canvas,
    Colour,
    Noise,
    Point,
    cosine_sine,
    coverage,
    length,
    polyline,
    smoothstep,
)
from demo_data.randomness import Draw


def _extent(points: tuple[Point, ...]) -> tuple[float, float, float]:
    """Centre and half side of the square around the points."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    return x, y, max(max(xs) - min(xs), max(ys) - min(ys)) / 2


def wandering(
    draw: Draw, x: float, y: float, turns: float, reach: float, bend: float, steps: int = 6
) -> tuple[Point, ...]:
    """A line of length `reach` centred near (x, y) that turns by up to `bend` turns at each of its steps."""
    c, s = cosine_sine(turns)
    x, y = x - c * reach / 2, y - s * reach / 2
    points = [(x, y)]
    for _ in range(steps):
        turns += draw.uniform(-bend, bend)
        c, s = cosine_sine(turns)
        x, y = x + c * reach / steps, y + s * reach / steps
        points.append((x, y))
    return tuple(points)


@dataclass(frozen=True)
class Scratch:
    """A groove: one flank darker, the other lighter, the colour of the surface showing through."""

    points: tuple[Point, ...]
    width: float
    dark: float
    light: float

    def lay(self, canvas: Canvas) -> None:
        x, y, reach = _extent(self.points)
        window = canvas.grid.window(x, y, reach + self.width * 3)
        shifted = tuple((px + self.width * 0.6, py + self.width * 0.6) for px, py in self.points)
        flank = coverage(polyline(window.x, window.y, shifted) - self.width * 0.45, window, self.width)
        canvas.tint(window, flank, (self.light,) * 3)
        groove = coverage(polyline(window.x, window.y, self.points) - self.width * 0.5, window, self.width)
        canvas.tint(window, groove, (self.dark,) * 3)


@dataclass(frozen=True)
class Stain:
    """A blotch with a ragged edge that colours the surface."""

    x: float
    y: float
    radius: float
    factor: Colour
    edge: Noise
    softness: float = 2.5
    ragged: float = 0.35

    def lay(self, canvas: Canvas) -> None:
        window = canvas.grid.window(self.x, self.y, self.radius * 1.6 + self.softness)
        dx, dy = window.x - self.x, window.y - self.y
        distance = length(dx, dy) - self.radius * (1.0 + self.ragged * self.edge.at(window.x, window.y))
        canvas.tint(window, coverage(distance, window, self.softness), self.factor)


@dataclass(frozen=True)
class Fibre:
    """A thread or hair lying on the part, with its shadow."""

    points: tuple[Point, ...]
    width: float
    colour: Colour

    def lay(self, canvas: Canvas) -> None:
        x, y, reach = _extent(self.points)
        window = canvas.grid.window(x, y, reach + self.width + 5)
        under = polyline(window.x - 1.0, window.y - 1.2, self.points) - self.width * 0.6
        canvas.tint(window, coverage(under, window, 2.0) * 0.4, (0.2, 0.2, 0.2))
        distance = polyline(window.x, window.y, self.points)
        round_ = 0.65 + 0.5 * smoothstep(self.width * 0.6, 0.0, distance)
        body = np.asarray(self.colour) * round_[:, :, None]
        canvas.blend(window, coverage(distance - self.width / 2, window), body)


@dataclass(frozen=True)
class Grains:
    """Small rounded crumbs with highlights and shadows."""

    centres: tuple[Point, ...]
    radii: tuple[float, ...]
    colour: Colour
    gloss: float = 0.1

    def lay(self, canvas: Canvas) -> None:
        for (x, y), radius in zip(self.centres, self.radii, strict=True):
            window = canvas.grid.window(x, y, radius * 3 + 1)
            dx, dy = window.x - x, window.y - y
            shade = length(dx - radius * 0.5, dy - radius * 0.6) - radius
            canvas.tint(window, coverage(shade, window, radius) * 0.5, (0.15, 0.15, 0.15))
            bright = 0.75 - 0.35 * (dx + dy) / radius
            shine = self.gloss * smoothstep(0.5 * radius, 0.0, length(dx + radius * 0.4, dy + radius * 0.4))
            body = np.asarray(self.colour) * bright[:, :, None] + shine[:, :, None]
            canvas.blend(window, coverage(length(dx, dy) - radius, window), body)


Mark = Scratch | Stain | Fibre | Grains


def scattered(
    draw: Draw, x: float, y: float, spread: float, count: int, small: float, large: float
) -> tuple[tuple[Point, ...], tuple[float, ...]]:
    """Centres and radii of `count` grains around (x, y)."""
    centres = tuple(
        (
            x + spread * (draw.uniform() + draw.uniform() - 1),
            y + spread * (draw.uniform() + draw.uniform() - 1),
        )
        for _ in range(count)
    )
    return centres, tuple(draw.uniform(small, large) for _ in range(count))
