"""Scratches, stains and drops: each a function that lays itself over what is already painted."""

from collections.abc import Callable, Sequence

import numpy as np

from demo_data.drawing import Canvas, box, noise, smoothstep

Mark = Callable[[Canvas], None]


def scratch(x: float, y: float, turns: float, shape: Sequence[float], groove: float, flank: float) -> Mark:
    """A line that multiplies the surface by `groove`, with a flank by `flank`; shape: length and width."""
    length, width = shape

    def lay(canvas: Canvas) -> None:
        window, shift = canvas.near(x, y, length / 2 + width * 3), width * 0.6
        for dx, factor in ((shift, flank), (0, groove)):
            line = box(*window.local(x + dx, y + dx, turns), length / 2, 0) - width / 2
            window.tint(window.inside(line, width), factor)

    return lay


def stain(rng: np.random.Generator, x: float, y: float, radius: float, factor: Sequence[float]) -> Mark:
    """A blotch with a ragged, soft edge that colours the surface."""
    edge = noise(rng, radius * 0.6)

    def lay(canvas: Canvas) -> None:
        window = canvas.near(x, y, radius * 2)
        ragged = radius * (1 + 0.35 * edge(window.x, window.y))
        window.tint(window.inside(np.hypot(window.x - x, window.y - y) - ragged, radius * 0.5), factor)

    return lay


def drop(x: float, y: float, radius: float, colour: Sequence[float], gloss: float) -> Mark:
    """A crumb or drop with highlight and shadow."""

    def lay(canvas: Canvas) -> None:
        window = canvas.near(x, y, radius * 3 + 1)
        dx, dy = window.x - x, window.y - y
        cast = np.hypot(dx - radius * 0.5, dy - radius * 0.6) - radius
        window.tint(window.inside(cast, radius) * 0.5, 0.15)
        shine = gloss * smoothstep(0.5 * radius, 0, np.hypot(dx + radius * 0.4, dy + radius * 0.4))
        body = np.asarray(colour) * (0.75 - 0.35 * (dx + dy) / radius)[..., None] + shine[..., None]
        window.blend(window.inside(np.hypot(dx, dy) - radius), body)

    return lay
