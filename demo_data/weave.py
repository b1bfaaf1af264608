"""Weave: a twill of blue warp and sand-coloured weft (a texture that fills the image)."""

from dataclasses import dataclass, replace

import numpy as np

from demo_data.drawing import (
    Canvas,
    Colour,
    Grid,
    Noise,
    clip01,
    cosine_sine,
    length,
    lit,
    segment,
    smoothstep,
    wave,
)
from demo_data.light import Light
from demo_data.marks import Fibre, Mark, Stain, wandering
from demo_data.part import Part
from demo_data.randomness import Draw

PITCH = 6.4  # distance between threads
WARP: Colour = (0.10, 0.17, 0.30)
WEFT: Colour = (0.52, 0.44, 0.31)


@dataclass(frozen=True)
class Scene:
    """The cloth as it lies, and what happened to it."""

    x: float
    y: float
    turns: float
    light: Light
    waviness: tuple[Noise, Noise]
    tone: Noise
    fuzz: Noise
    marks: tuple[Mark, ...] = ()
    cut: tuple[float, float, float, float, float] | None = None
    """Start (x, y), end (x, y) and width of a cut through the cloth."""
    missing: tuple[int, float, float] | None = None
    """Number of a warp thread that is absent, and from where to where along it."""
    pull: tuple[float, float, float, float, float] | None = None
    """Centre (x, y), radius and shift (dx, dy) of threads pulled out of place."""


def arrange(draw: Draw) -> Scene:
    """A piece of the cloth somewhere on the roll, nearly straight."""
    return Scene(
        draw.uniform(0, 60),
        draw.uniform(0, 60),
        draw.uniform(-0.008, 0.008),
        Light.drawn(draw),
        (Noise.drawn(draw, 28.0), Noise.drawn(draw, 28.0)),
        Noise.drawn(draw, 1.0),
        Noise.drawn(draw, 1.3),
    )


def damage(scene: Scene, kind: str, draw: Draw) -> Scene:
    """A cut, a stain, a loose thread, a missing thread or threads pulled aside."""
    x, y, turns = draw.uniform(28, 132), draw.uniform(28, 132), draw.uniform()
    c, s = cosine_sine(turns)
    if kind == "cut":
        reach = draw.uniform(7, 14)
        return replace(
            scene, cut=(x - c * reach, y - s * reach, x + c * reach, y + s * reach, draw.uniform(1.6, 2.6))
        )
    if kind == "stain":
        factor = draw.choice(((0.62, 0.5, 0.4), (0.5, 0.42, 0.55), (0.45, 0.55, 0.5)))
        return replace(
            scene, marks=(Stain(x, y, draw.uniform(6, 11), factor, Noise.drawn(draw, 6.0, 16), 4.0),)
        )
    if kind == "loose_thread":
        points = wandering(draw, x, y, turns, draw.uniform(24, 40), 0.09, 9)
        return replace(scene, marks=(Fibre(points, draw.uniform(1.3, 1.9), draw.choice((WARP, WEFT))),))
    if kind == "missing_thread":
        u = (x - 80) + scene.x
        start = draw.uniform(20, 90)
        return replace(scene, missing=(int(np.floor(u / PITCH)), start, start + draw.uniform(22, 45)))
    shift = draw.uniform(4.0, 6.0)
    return replace(scene, pull=(x, y, draw.uniform(13, 18), c * shift, s * shift))


def paint(grid: Grid, scene: Scene) -> np.ndarray:
    """Threads as a height field: each bulges where it passes over the other direction."""
    x, y = grid.x, grid.y
    if scene.pull is not None:
        px, py, radius, dx, dy = scene.pull
        q = ((x - px) * (x - px) + (y - py) * (y - py)) / (radius * radius)
        fall = np.maximum(1.0 - q, 0.0)
        x, y = x - dx * fall * fall, y - dy * fall * fall
    c, s = cosine_sine(scene.turns)
    wx, wy = scene.waviness
    u = (x - 80) * c + (y - 80) * s + scene.x + 1.3 * wx.at(x, y)
    v = (y - 80) * c - (x - 80) * s + scene.y + 1.3 * wy.at(x, y)
    i, j = np.floor(u / PITCH), np.floor(v / PITCH)
    fu, fv = u / PITCH - i - 0.5, v / PITCH - j - 0.5  # place across the warp and the weft thread
    over = np.mod(i - j, 4.0) < 2.0  # 2/2 twill
    if scene.missing is not None:
        number, start, end = scene.missing
        over &= ~((i == number) & (grid.y > start) & (grid.y < end))
    across, along = np.where(over, fu, fv), np.where(over, fv, fu)
    step = np.mod(i - j, 4.0)
    place = along + np.where((step == 0.0) | (step == 3.0), 0.5, -0.5)  # -1 to 1 over the two cells it floats
    bulge = 1.0 - 0.5 * place * place
    height = bulge * np.sqrt(np.maximum(1.0 - 3.4 * across * across, 0.0)) * 2.4
    if scene.missing is not None:
        number, start, end = scene.missing
        gap = (i == number) & (grid.y > start) & (grid.y < end)
        height = np.where(gap, height * 0.45, height)
    twist = wave((along * 0.9 + across * np.where(over, 0.8, -0.8)) * 2.2 + np.where(over, i, j) * 0.37)
    height = height + 0.10 * twist
    padded = np.pad(height, 1, mode="edge")
    half = grid.scale / 2
    slope_x, slope_y = (
        (padded[1:-1, 2:] - padded[1:-1, :-2]) * half,
        (padded[2:, 1:-1] - padded[:-2, 1:-1]) * half,
    )
    brightness, gloss = scene.light.relief(slope_x * 0.6, slope_y * 0.6)
    valley = 0.42 + 0.58 * clip01(height / 2.0)
    tone = scene.tone.at(np.where(over, i, j + 31.5), np.where(over, 7.5, 23.5) + 0.0 * i)
    fuzz = scene.fuzz.at(u, v)
    albedo = (
        np.where(over[:, :, None], np.asarray(WARP), np.asarray(WEFT))
        * (1.0 + 0.14 * tone + 0.12 * fuzz)[:, :, None]
    )
    canvas = Canvas(grid)
    canvas.pixels[:] = lit(albedo, brightness * valley * 1.35 * scene.light.falloff(grid), gloss * 0.02)
    if scene.cut is not None:
        ax, ay, bx, by, width = scene.cut
        middle = ((ax + bx) / 2, (ay + by) / 2)
        taper = (
            1.0
            - 0.7
            * length(grid.x - middle[0], grid.y - middle[1])
            / length(np.float64(bx - ax), np.float64(by - ay))
            * 2
        )
        frayed = segment(grid.x, grid.y, (ax, ay), (bx, by)) + 0.8 * fuzz - width * np.maximum(taper, 0.0)
        canvas.tint(grid, smoothstep(0.8, -0.8, frayed), (0.10, 0.10, 0.11))
    for mark in scene.marks:
        mark.lay(canvas)
    return canvas.pixels


PART = Part(
    "weave",
    160,
    160,
    False,
    ("cut", "stain", "loose_thread", "missing_thread", "pulled"),
    arrange,
    damage,
    paint,
)
