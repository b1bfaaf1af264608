"""Biscuit: one round biscuit with a scalloped rim and a pattern of holes (a single part)."""

from dataclasses import dataclass, replace

import numpy as np

from demo_data.drawing import (
    Canvas,
    Grid,
    Noise,
    Point,
    clip01,
    cosine_sine,
    coverage,
    length,
    lit,
    slopes,
    smoothstep,
)
from demo_data.light import Light
from demo_data.marks import Fibre, Mark, Scratch, Stain, wandering
from demo_data.part import Part
from demo_data.randomness import Draw

RADIUS, SCALLOPS = 56.0, 26
HOLES: tuple[Point, ...] = (
    (0.0, 0.0),
    *((c * 17, s * 17) for c, s in (cosine_sine(k / 6) for k in range(6))),
    *((c * 35, s * 35) for c, s in (cosine_sine((k + 0.5) / 12) for k in range(12))),
)


@dataclass(frozen=True)
class Scene:
    """The biscuit as it lies, and what happened to it."""

    x: float
    y: float
    turns: float
    size: float
    toast: float
    light: Light
    crumb: tuple[Noise, Noise, Noise]
    table: tuple[Noise, Noise]
    holes: tuple[Point, ...]
    marks: tuple[Mark, ...] = ()
    chip: tuple[float, float, float, Noise] | None = None
    """Place (in the biscuit's own coordinates), radius and raggedness of a piece broken off."""


def arrange(draw: Draw) -> Scene:
    """A biscuit near the centre, turned at random, baked lighter or darker."""
    return Scene(
        88 + draw.uniform(-2.5, 2.5),
        80 + draw.uniform(-2.5, 2.5),
        draw.uniform(),
        draw.uniform(0.98, 1.02),
        draw.uniform(-0.08, 0.08),
        Light.drawn(draw),
        (Noise.drawn(draw, 1.6), Noise.drawn(draw, 4.5), Noise.drawn(draw, 22.0)),
        (Noise.drawn(draw, 1.8), Noise.drawn(draw, 30.0)),
        tuple((u + draw.uniform(-0.8, 0.8), v + draw.uniform(-0.8, 0.8)) for u, v in HOLES),
    )


def damage(scene: Scene, kind: str, draw: Draw) -> Scene:
    """A crack, a burnt spot, a piece broken off the rim, a hole not punched, or a hair on top."""
    turns, far = draw.uniform(), draw.uniform(8, 42) * scene.size
    c, s = cosine_sine(turns)
    x, y = scene.x + far * c, scene.y + far * s
    if kind == "crack":
        points = wandering(draw, x, y, draw.uniform(), draw.uniform(18, 34), 0.08, 8)
        mark = Scratch(points, draw.uniform(0.8, 1.3), draw.uniform(0.35, 0.5), draw.uniform(1.1, 1.25))
    elif kind == "burnt":
        dark = draw.uniform(0.42, 0.6)
        mark = Stain(
            x, y, draw.uniform(4, 7.5), (dark, dark * 0.85, dark * 0.7), Noise.drawn(draw, 4.0, 16), 3.5
        )
    elif kind == "chip":
        edge = RADIUS + draw.uniform(0.5, 3.0)
        return replace(scene, chip=(c * edge, s * edge, draw.uniform(6, 10), Noise.drawn(draw, 3.0, 16)))
    elif kind == "hole_missing":
        number = draw.integer(0, len(scene.holes) - 1)
        return replace(scene, holes=scene.holes[:number] + scene.holes[number + 1 :])
    else:
        points = wandering(draw, x, y, draw.uniform(), draw.uniform(18, 30), 0.1, 9)
        colour = draw.choice(((0.05, 0.04, 0.04), (0.10, 0.14, 0.30), (0.75, 0.75, 0.72)))
        mark = Fibre(points, draw.uniform(0.7, 1.0), colour)
    return replace(scene, marks=(*scene.marks, mark))


def _outline(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to the scalloped outline: a disc joined with a ring of smaller discs."""
    along = np.full(u.shape, -1e9)
    for k in range(SCALLOPS):
        c, s = cosine_sine(k / SCALLOPS)
        along = np.maximum(along, u * c + v * s)
    radius = length(u, v)
    across = np.sqrt(np.maximum(radius * radius - along * along, 0.0))
    return np.minimum(radius - (RADIUS - 2.6), length(along - (RADIUS - 6.0), across) - 6.4)


def paint(grid: Grid, scene: Scene) -> np.ndarray:
    """A height field for the biscuit, lit; colour from how much each place was toasted."""
    canvas = Canvas(grid, (0.30, 0.33, 0.36))
    grain, broad = scene.table
    ground = 1.0 + 0.08 * grain.at(grid.x * 0.35, grid.y * 1.6) + 0.08 * broad.at(grid.x, grid.y)
    canvas.pixels *= (ground * scene.light.falloff(grid))[:, :, None]
    fine, medium, large = scene.crumb

    def outline(dx: float, dy: float) -> np.ndarray:
        u, v = grid.local(scene.x + dx, scene.y + dy, scene.turns)
        u, v = u / scene.size, v / scene.size
        distance = _outline(u, v)
        if scene.chip is not None:
            a, b, radius, edge = scene.chip
            bite = radius * (1.0 + 0.3 * edge.at(u, v)) - length(u - a, v - b)
            distance = np.maximum(distance, bite)
        return distance

    dx, dy = scene.light.shadow(5.0)
    shade = 0.6 * smoothstep(5.0, -5.0, outline(dx, dy)) + 0.35 * smoothstep(
        2.0, -1.5, outline(dx / 4, dy / 4)
    )
    canvas.tint(grid, clip01(shade), (0.12, 0.12, 0.14))

    u, v = grid.local(scene.x, scene.y, scene.turns)
    u, v = u / scene.size, v / scene.size
    distance, radius = outline(0.0, 0.0), length(u, v)
    a, b, c = fine.at(u, v), medium.at(u, v), large.at(u, v)
    height = 5.0 * np.sqrt(smoothstep(1.5, -9.0, distance)) + 0.16 * a + 0.3 * b + 0.8 * c
    height = height + 0.9 * smoothstep(1.8, 0.0, np.abs(radius - 46.5))  # an embossed ring
    pits = np.zeros(grid.x.shape)
    for x, y in scene.holes:
        pits = np.maximum(pits, smoothstep(2.6, 0.9, length(u - x, v - y)))
    height = height - 1.8 * pits
    brightness, _ = scene.light.relief(*slopes(height, grid.scale))
    toast = clip01(
        0.40 + scene.toast + 0.45 * smoothstep(-9.0, 0.0, distance) + 0.16 * c + 0.10 * b + 0.12 * a
    )
    pale, brown = np.array([0.74, 0.50, 0.22]), np.array([0.36, 0.15, 0.045])
    albedo = pale + (brown - pale) * toast[:, :, None]
    colour = lit(albedo, brightness * (1.0 - 0.55 * pits) * 1.05)
    if scene.chip is not None:  # the paler inside of the broken edge
        x, y, size, edge = scene.chip
        fresh = smoothstep(2.6, 0.6, np.abs(length(u - x, v - y) - size * (1.0 + 0.3 * edge.at(u, v))))
        colour = (
            colour
            + (np.array([0.66, 0.46, 0.22]) * (0.55 + 0.2 * a)[:, :, None] - colour) * 0.6 * fresh[:, :, None]
        )
    inside = coverage(distance, grid, 1.2)
    canvas.blend(grid, inside, colour)
    if scene.marks:
        before = canvas.pixels.copy()
        for mark in scene.marks:
            mark.lay(canvas)
        hold = inside[:, :, None] if not any(isinstance(mark, Fibre) for mark in scene.marks) else 1.0
        canvas.pixels[:] = before + (canvas.pixels - before) * hold
    return canvas.pixels


PART = Part(
    "biscuit", 176, 160, False, ("crack", "burnt", "chip", "hole_missing", "hair"), arrange, damage, paint
)
