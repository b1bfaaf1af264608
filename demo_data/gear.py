"""Gear: a turned steel gear wheel, photographed in grey (a single part)."""

from dataclasses import dataclass, replace

import numpy as np

from demo_data.drawing import (
    Canvas,
    Grid,
    Noise,
    box,
    clip01,
    cosine_sine,
    coverage,
    length,
    slopes,
    smoothstep,
)
from demo_data.light import Light
from demo_data.marks import Mark, Scratch, Stain, wandering
from demo_data.part import Part
from demo_data.randomness import Draw

TEETH, ROOT, TIP = 18, 50.0, 60.0
HOLES = 5


@dataclass(frozen=True)
class Scene:
    """The gear as it lies, and what happened to it."""

    x: float
    y: float
    turns: float
    polish: float
    light: Light
    rings: Noise
    grain: Noise
    cloth: tuple[Noise, Noise]
    holes: tuple[tuple[float, float], ...]
    """Angle in turns and distance from the axis of each hole."""
    marks: tuple[Mark, ...] = ()
    broken: tuple[int, float, Noise] | None = None
    """Number of a broken tooth, how far from the axis it still reaches, and the break's raggedness."""
    dent: tuple[float, float, float, float] | None = None
    """Place (own coordinates), radius and depth."""


def arrange(draw: Draw) -> Scene:
    """A gear near the centre, laid almost straight."""
    return Scene(
        80 + draw.uniform(-2, 2),
        80 + draw.uniform(-2, 2),
        0.2 + draw.uniform(-0.02, 0.02),
        draw.uniform(0.92, 1.05),
        Light.drawn(draw),
        Noise.drawn(draw, 1.0),
        Noise.drawn(draw, 1.5),
        (Noise.drawn(draw, 1.7), Noise.drawn(draw, 35.0)),
        tuple((k / HOLES, 34.0) for k in range(HOLES)),
    )


def damage(scene: Scene, kind: str, draw: Draw) -> Scene:
    """A scratch, rust, a broken tooth, a hole drilled in the wrong place, or a dent."""
    far, turns = draw.uniform(22, 46), draw.uniform()
    c, s = cosine_sine(turns)
    if kind == "broken_tooth":
        return replace(
            scene,
            broken=(draw.integer(0, TEETH - 1), ROOT + draw.uniform(0, 4.5), Noise.drawn(draw, 3.0, 16)),
        )
    if kind == "misplaced_hole":
        number = draw.integer(0, HOLES - 1)
        angle, distance = scene.holes[number]
        moved = (angle + draw.choice((-1, 1)) * draw.uniform(0.03, 0.05), distance + draw.uniform(-2.0, 2.0))
        return replace(scene, holes=(*scene.holes[:number], moved, *scene.holes[number + 1 :]))
    if kind == "dent":
        return replace(scene, dent=(c * far, s * far, draw.uniform(5.0, 7.5), draw.uniform(1.8, 2.8)))
    x, y = scene.x + c * far, scene.y + s * far
    if kind == "scratch":
        points = wandering(draw, x, y, draw.uniform(), draw.uniform(18, 32), 0.03)
        mark: Mark = Scratch(points, draw.uniform(1.0, 1.6), draw.uniform(0.35, 0.55), draw.uniform(1.3, 1.6))
    else:
        dark = draw.uniform(0.36, 0.55)
        mark = Stain(
            x, y, draw.uniform(3.5, 6.5), (dark, dark * 0.8, dark * 0.6), Noise.drawn(draw, 2.0, 16), 2.0, 0.6
        )
    return replace(scene, marks=(*scene.marks, mark))


def _outline(u: np.ndarray, v: np.ndarray, scene: Scene) -> np.ndarray:
    """Signed distance to the gear's outline and holes."""
    along, sector = np.full(u.shape, -1e9), np.zeros(u.shape, np.int64)
    for k in range(TEETH):
        c, s = cosine_sine(k / TEETH)
        reach = u * c + v * s
        sector = np.where(reach > along, k, sector)
        along = np.maximum(along, reach)
    radius = length(u, v)
    across = np.sqrt(np.maximum(radius * radius - along * along, 0.0))
    tooth = np.maximum(across + (along - ROOT) * 0.24 - 5.4, along - TIP)  # a trapezium
    if scene.broken is not None:
        number, reach, edge = scene.broken
        tooth = np.where(sector == number, np.maximum(tooth, along - reach - 1.2 * edge.at(u, v)), tooth)
    distance = np.minimum(radius - ROOT, tooth)
    bore = np.minimum(radius - 13.0, box(u - 13.0, v, 4.0, 3.2))
    distance = np.maximum(distance, -bore)
    for turns, far in scene.holes:
        c, s = cosine_sine(turns)
        distance = np.maximum(distance, 6.6 - length(u - c * far, v - s * far))
    return distance


def paint(grid: Grid, scene: Scene) -> np.ndarray:
    """Shadow, then the steel: turning marks spread its highlight into a fan, edges are chamfered."""
    canvas = Canvas(grid, (0.10, 0.10, 0.10))
    fine, broad = scene.cloth
    texture = 1.0 + 0.16 * fine.at(grid.x, grid.y) + 0.12 * broad.at(grid.x, grid.y)
    canvas.pixels *= (texture * scene.light.falloff(grid))[:, :, None]
    dx, dy = scene.light.shadow(6.0)
    cast = smoothstep(4.0, -4.0, _outline(*grid.local(scene.x + dx, scene.y + dy, scene.turns), scene))
    canvas.tint(grid, 0.7 * cast, (0.12, 0.12, 0.12))

    u, v = grid.local(scene.x, scene.y, scene.turns)
    distance, radius = _outline(u, v, scene), length(u, v)
    rings = scene.rings.at(radius * 1.1, np.full(u.shape, 3.5))
    hub = smoothstep(22.5, 20.5, radius)
    height = 1.6 * smoothstep(0.5, -2.6, distance) + 2.2 * hub + 0.10 * rings
    height = height - 0.9 * smoothstep(1.3, 0.2, np.abs(radius - 45.5))  # a turned groove
    if scene.dent is not None:
        a, b, size, depth = scene.dent
        q = ((u - a) * (u - a) + (v - b) * (v - b)) / (size * size)
        fall = np.maximum(1.0 - q, 0.0)
        height = height - depth * fall * fall
    brightness, gloss = scene.light.relief(*slopes(height, grid.scale), sharpness=4)
    flat = float(np.sqrt(scene.light.x * scene.light.x + scene.light.y * scene.light.y))
    aligned = ((grid.x - scene.x) * scene.light.x + (grid.y - scene.y) * scene.light.y) / (
        flat * (radius + 1.0)
    )
    fan = aligned * aligned
    fan = fan * fan * (0.75 + 0.25 * aligned)
    steel = 0.20 + 0.30 * fan * (1.0 - 0.4 * hub) + 0.03 * rings + 0.02 * scene.grain.at(u, v)
    light = scene.polish * (steel * brightness * 1.15 + 0.10 * gloss)
    canvas.blend(grid, coverage(distance, grid, 1.0), np.broadcast_to(light[:, :, None], canvas.pixels.shape))
    if scene.marks:
        before = canvas.pixels.copy()
        for mark in scene.marks:
            mark.lay(canvas)
        canvas.pixels[:] = before + (canvas.pixels - before) * clip01(-distance)[:, :, None]
    return canvas.pixels


PART = Part(
    "gear",
    160,
    160,
    True,
    ("scratch", "rust", "broken_tooth", "misplaced_hole", "dent"),
    arrange,
    damage,
    paint,
)
