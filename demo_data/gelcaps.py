"""Gelcaps: twelve two-coloured capsules on a tray (several instances)."""

from dataclasses import dataclass, replace

import numpy as np

from demo_data.drawing import Canvas, Grid, Noise, clip01, cosine_sine, coverage, length, lit, smoothstep
from demo_data.light import Light
from demo_data.marks import Grains, Mark, Scratch, Stain, scattered, wandering
from demo_data.part import Part
from demo_data.randomness import Draw

HALF, RADIUS = 12.5, 8.2  # half length of a capsule's axis, and its radius
CAP, BODY = (0.42, 0.035, 0.03), (0.80, 0.66, 0.40)


@dataclass(frozen=True)
class Capsule:
    """One capsule: `turns` is the direction of its red cap."""

    x: float
    y: float
    turns: float
    shade: float
    body: bool = True
    dent: tuple[float, float, float, float] | None = None
    """Place along and across the axis, radius and depth of a dent."""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Scene:
    """The tray with its capsules."""

    capsules: tuple[Capsule, ...]
    light: Light
    cloth: tuple[Noise, Noise]
    speckle: Noise
    marks: tuple[Mark, ...] = ()


def arrange(draw: Draw) -> Scene:
    """Twelve capsules, each somewhere in its own cell, all turned much the same way."""
    capsules = tuple(
        Capsule(
            24.0 + 48 * column + draw.uniform(-2.5, 2.5),
            24.0 + 48 * row + draw.uniform(-2.5, 2.5),
            0.62 + draw.uniform(-0.09, 0.09),
            draw.uniform(0.92, 1.08),
        )
        for row in range(3)
        for column in range(4)
    )
    return Scene(
        capsules, Light.drawn(draw), (Noise.drawn(draw, 2.2), Noise.drawn(draw, 40.0)), Noise.drawn(draw, 3.0)
    )


def damage(scene: Scene, kind: str, draw: Draw) -> Scene:
    """One capsule scratched, discoloured, dented, emptied of its body half, or powder leaked beside it."""
    number = draw.integer(0, len(scene.capsules) - 1)
    capsule = scene.capsules[number]
    along, across = draw.uniform(-HALF, HALF), draw.uniform(-0.45, 0.45) * RADIUS
    c, s = cosine_sine(capsule.turns)
    x, y = capsule.x + along * c - across * s, capsule.y + along * s + across * c
    if kind == "scratch":
        points = wandering(draw, x, y, capsule.turns + draw.uniform(-0.12, 0.12), draw.uniform(10, 18), 0.02)
        mark = Scratch(points, draw.uniform(1.2, 1.9), draw.uniform(0.35, 0.55), draw.uniform(1.3, 1.6))
        capsule = replace(capsule, marks=(*capsule.marks, mark))
    elif kind == "discolour":
        darker = draw.uniform(0.3, 0.5)
        mark = Stain(
            x, y, draw.uniform(2.6, 4.5), (darker, darker * 0.9, darker * 0.75), Noise.drawn(draw, 2.0, 16)
        )
        capsule = replace(capsule, marks=(*capsule.marks, mark))
    elif kind == "dent":
        capsule = replace(capsule, dent=(along, across, draw.uniform(4.5, 6.5), draw.uniform(1.9, 2.8)))
    elif kind == "half_missing":
        capsule = replace(capsule, body=False)
    elif kind == "leak":
        side = draw.choice((-1, 1)) * RADIUS * draw.uniform(0.9, 1.2)
        x, y = capsule.x + along * c - side * s, capsule.y + along * s + side * c
        centres, radii = scattered(draw, x, y, 6.0, draw.integer(10, 18), 0.7, 1.5)
        return replace(scene, marks=(*scene.marks, Grains(centres, radii, (0.70, 0.56, 0.30))))
    capsules = (*scene.capsules[:number], capsule, *scene.capsules[number + 1 :])
    return replace(scene, capsules=capsules)


def _shape(capsule: Capsule, window: Grid, dx: float = 0.0, dy: float = 0.0) -> tuple[np.ndarray, ...]:
    """Distance to a capsule moved by (dx, dy), and offsets: u along, v across, du from the axis' end."""
    u, v = window.local(capsule.x + dx, capsule.y + dy, capsule.turns)
    low = -HALF if capsule.body else 1.0
    du = u - np.minimum(np.maximum(u, low), HALF)
    distance = length(du, v) - RADIUS
    if not capsule.body:
        distance = np.maximum(distance, 1.0 - u)
    return distance, u, v, du


def _paint_capsule(canvas: Canvas, capsule: Capsule, scene: Scene) -> None:
    window = canvas.grid.window(capsule.x, capsule.y, HALF + RADIUS + 2)
    distance, u, v, du = _shape(capsule, window)
    cap = smoothstep(-0.4, 0.4, u - 1.0)
    radius = RADIUS * (0.955 + 0.045 * cap)
    distance = distance + RADIUS - radius
    nx, ny = du / radius, v / radius
    nz = np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.02))
    if capsule.dent is not None:
        a, b, size, depth = capsule.dent
        q = (u - a) * (u - a) + (v - b) * (v - b)
        fall = np.maximum(1.0 - q / (size * size), 0.0) * (4.0 * depth / (size * size))
        nx, ny = nx - (u - a) * fall, ny - (v - b) * fall
        norm = np.sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx / norm, ny / norm, nz / norm
    c, s = cosine_sine(capsule.turns)
    brightness, gloss = scene.light.shade(nx * c - ny * s, nx * s + ny * c, nz)
    rim = smoothstep(1.4, 0.3, np.abs(u - 1.0)) * 0.22
    albedo = np.asarray(BODY) + (np.asarray(CAP) - np.asarray(BODY)) * cap[:, :, None]
    grain = 1.0 + 0.05 * scene.speckle.at(u + 50 * capsule.shade, v)
    colour = lit(albedo, capsule.shade * grain * brightness * (1.0 - rim), gloss * 0.55)
    if not capsule.body:  # the open end of the empty cap
        mouth = length((u - 1.4) * 2.6, v) - RADIUS * 0.86
        colour = colour * (1.0 - 0.85 * coverage(mouth, window, 1.0))[:, :, None]
    canvas.blend(window, coverage(distance, window), colour)
    before = canvas.pixels[window.rows, window.columns].copy()
    for mark in capsule.marks:
        mark.lay(canvas)
    if capsule.marks:  # a mark ends where its capsule ends
        inside = coverage(distance + 0.3, window)[:, :, None]
        target = canvas.pixels[window.rows, window.columns]
        target[:] = before * (1.0 - inside) + target * inside


def paint(grid: Grid, scene: Scene) -> np.ndarray:
    """The tray, all shadows, then the capsules."""
    canvas = Canvas(grid, (0.24, 0.29, 0.31))
    fine, broad = scene.cloth
    texture = 1.0 + 0.07 * fine.at(grid.x, grid.y) + 0.10 * broad.at(grid.x, grid.y)
    canvas.pixels *= (texture * scene.light.falloff(grid))[:, :, None]
    dx, dy = scene.light.shadow(5.0)
    for capsule in scene.capsules:
        window = grid.window(capsule.x, capsule.y, HALF + RADIUS + 14)
        cast = smoothstep(4.5, -4.5, _shape(capsule, window, dx, dy)[0])
        contact = smoothstep(2.2, -1.0, _shape(capsule, window, dx * 0.25, dy * 0.25)[0])
        canvas.tint(window, clip01(0.55 * cast + 0.35 * contact), (0.12, 0.13, 0.16))
    for capsule in scene.capsules:
        _paint_capsule(canvas, capsule, scene)
    for mark in scene.marks:
        mark.lay(canvas)
    return canvas.pixels


PART = Part(
    "gelcaps",
    192,
    144,
    False,
    ("scratch", "discolour", "dent", "half_missing", "leak"),
    arrange,
    damage,
    paint,
)
