"""Gelcaps: twelve two-coloured capsules on a tray (several instances)."""

from dataclasses import dataclass, field

import numpy as np

from demo_data.drawing import Canvas, Light, direction, noise, smoothstep
from demo_data.marks import Mark, drop, scratch, stain
from demo_data.photograph import Part

HALF, RADIUS = 12.5, 8.2  # half length of a capsule's axis, and its radius
CAP, BODY = np.array((0.42, 0.035, 0.03)), np.array((0.80, 0.66, 0.40))


@dataclass
class Capsule:
    """One capsule: `turns` is the direction of its red cap; dent: along, across, radius, depth."""

    x: float
    y: float
    turns: float
    shade: float
    low: float = -HALF  # where its axis begins
    dent: tuple[float, float, float, float] | None = None
    marks: list[Mark] = field(default_factory=list)

    def outline(self, canvas: Canvas, dx: float = 0.0, dy: float = 0.0) -> tuple[np.ndarray, ...]:
        """Distance to the capsule moved by (dx, dy), u along, v across and the distance from its axis."""
        u, v = canvas.local(self.x + dx, self.y + dy, self.turns)
        far = np.hypot(u - np.clip(u, self.low, HALF), v)
        return np.maximum(far - RADIUS, 1 - u if self.low > 0 else -np.inf), u, v, far


class Gelcaps(Part):
    """Each capsule lies somewhere in its own cell of the tray, all turned much the same way."""

    size = 192, 144
    defects = "scratch", "discolour", "dent", "half_missing", "leak"

    def __init__(self, rng: np.random.Generator) -> None:
        cells = [(24 + 48 * column, 24 + 48 * row, 0.62, 1) for row in range(3) for column in range(4)]
        self.capsules = [Capsule(*(cell + rng.uniform(-1, 1, 4) * (2.5, 2.5, 0.09, 0.08))) for cell in cells]
        self.light, self.fine, self.broad = Light(rng), noise(rng, 2.2), noise(rng, 40)
        self.marks: list[Mark] = []

    def damage(self, defect: str, rng: np.random.Generator) -> None:
        """One capsule scratched, discoloured, dented, emptied of its body, or powder leaked beside it."""
        capsule = self.capsules[rng.integers(12)]
        along, across = rng.uniform(-HALF, HALF), rng.uniform(-0.45, 0.45) * RADIUS
        if defect == "leak":
            across = rng.choice((-1, 1)) * RADIUS * rng.uniform(0.9, 1.2)
        c, s = direction(capsule.turns)
        x, y = capsule.x + along * c - across * s, capsule.y + along * s + across * c
        if defect == "scratch":
            turns = capsule.turns + rng.uniform(-0.12, 0.12)
            shape, factors = rng.uniform((10, 1.2), (18, 1.9)), rng.uniform((0.35, 1.3), (0.55, 1.6))
            capsule.marks.append(scratch(x, y, turns, shape, *factors))
        elif defect == "discolour":
            factor = rng.uniform(0.3, 0.5) * np.array((1, 0.9, 0.75))
            capsule.marks.append(stain(rng, x, y, rng.uniform(2.6, 4.5), factor))
        elif defect == "dent":
            capsule.dent = along, across, rng.uniform(4.5, 6.5), rng.uniform(1.9, 2.8)
        elif defect == "half_missing":
            capsule.low = 1.0
        else:
            for dx, dy in rng.triangular(-6, 0, 6, (rng.integers(10, 19), 2)):
                self.marks.append(drop(x + dx, y + dy, rng.uniform(0.7, 1.5), (0.70, 0.56, 0.30), 0.1))

    def paint(self, canvas: Canvas) -> None:
        """The tray, all shadows, then the capsules."""
        texture = 1 + 0.07 * self.fine(canvas.x, canvas.y) + 0.10 * self.broad(canvas.x, canvas.y)
        canvas.pixels[:] = np.array((0.24, 0.29, 0.31)) * texture[..., None]
        for capsule in self.capsules:
            window = canvas.near(capsule.x, capsule.y, HALF + RADIUS + 14)
            self.light.cast(window, 5, lambda *shift: capsule.outline(window, *shift)[0])  # noqa: B023 (called at once)
        for capsule in self.capsules:
            self._paint(canvas.near(capsule.x, capsule.y, HALF + RADIUS + 2), capsule)
        for mark in self.marks:
            mark(canvas)

    def _paint(self, canvas: Canvas, capsule: Capsule) -> None:
        distance, u, v, far = capsule.outline(canvas)
        cap = smoothstep(0.6, 1.4, u)
        radius = RADIUS * (0.955 + 0.045 * cap)  # the cap is pushed over the body
        height = np.sqrt(np.maximum(radius**2 - far**2, 0))
        if capsule.dent is not None:
            a, b, size, depth = capsule.dent
            height -= depth * np.maximum(1 - ((u - a) ** 2 + (v - b) ** 2) / size**2, 0) ** 2
        brightness, gloss = self.light.relief(height, canvas.scale)
        rim = capsule.shade * (1 - 0.22 * smoothstep(1.4, 0.3, np.abs(u - 1)))
        colour = (BODY + (CAP - BODY) * cap[..., None]) * (brightness * rim)[..., None]
        colour += 0.55 * gloss[..., None]
        if capsule.low > 0:  # the open end of the empty cap
            colour *= 1 - 0.85 * canvas.inside(np.hypot((u - 1.4) * 2.6, v) - RADIUS * 0.86, 1)[..., None]
        inside = canvas.inside(distance + RADIUS - radius)
        canvas.blend(inside, colour)
        before = canvas.pixels.copy()
        for mark in capsule.marks:
            mark(canvas)
        canvas.pixels[:] = before + (canvas.pixels - before) * inside[..., None]  # a mark ends where it ends
