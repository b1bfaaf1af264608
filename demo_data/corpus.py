"""The pre-training corpus: textured shapes in many poses, colours, lights and surroundings."""

from collections.abc import Callable

import numpy as np

from demo_data.drawing import (
    Canvas,
    Colour,
    Grid,
    Noise,
    box,
    clip01,
    cosine_sine,
    coverage,
    length,
    polygon,
    regular,
    slopes,
    smoothstep,
    wave,
)
from demo_data.light import Light
from demo_data.randomness import Draw

Plane = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _folded(u: np.ndarray, v: np.ndarray, sectors: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the nearest of `sectors` directions."""
    along = np.full(u.shape, -1e9)
    for k in range(sectors):
        c, s = cosine_sine(k / sectors)
        along = np.maximum(along, u * c + v * s)
    return along, np.sqrt(np.maximum(u * u + v * v - along * along, 0.0))


def _flower(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    along, across = _folded(u, v, 6)
    return np.minimum(length(along - 0.58, across * 1.25) - 0.36, length(u, v) - 0.3)


def _cog(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    along, across = _folded(u, v, 10)
    return np.maximum(
        np.minimum(length(u, v) - 0.72, box(along - 0.8, across, 0.18, 0.12, 0.03)), 0.26 - length(u, v)
    )


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    lobes = length(np.abs(u) - 0.42, v + 0.3) - 0.46
    return np.minimum(lobes, polygon(u, v, ((-0.84, -0.1), (0.0, 0.95), (0.84, -0.1), (0.0, -0.35))))


SHAPES: dict[str, Plane] = {
    "disc": lambda u, v: length(u, v) - 0.85,
    "ring": lambda u, v: np.abs(length(u, v) - 0.68) - 0.2,
    "square": lambda u, v: box(u, v, 0.75, 0.75, 0.12),
    "bar": lambda u, v: box(u, v, 0.95, 0.34, 0.08),
    "pill": lambda u, v: box(u, v, 0.95, 0.42, 0.42),
    "cross": lambda u, v: np.minimum(box(u, v, 0.9, 0.28, 0.06), box(u, v, 0.28, 0.9, 0.06)),
    "triangle": lambda u, v: polygon(u, v, ((0.0, -0.9), (0.9, 0.7), (-0.9, 0.7))),
    "star": lambda u, v: regular(u, v, 5, 0.42, 1.0),
    "burst": lambda u, v: regular(u, v, 11, 0.66, 1.0),
    "hexagon": lambda u, v: regular(u, v, 3, 0.88, 0.88),
    "crescent": lambda u, v: np.maximum(length(u, v) - 0.88, 0.72 - length(u - 0.42, v)),
    "heart": _heart,
    "cog": _cog,
    "flower": _flower,
    "leaf": lambda u, v: np.maximum(length(u, v - 0.7), length(u, v + 0.7)) - 1.12,
    "drop": lambda u, v: np.minimum(
        length(u, v - 0.3) - 0.58, polygon(u, v, ((0.0, -1.0), (0.5, 0.05), (-0.5, 0.05)))
    ),
    "arrow": lambda u, v: polygon(
        u,
        v,
        (
            (-0.95, -0.24),
            (0.15, -0.24),
            (0.15, -0.68),
            (0.98, 0.0),
            (0.15, 0.68),
            (0.15, 0.24),
            (-0.95, 0.24),
        ),
    ),
    "bolt": lambda u, v: polygon(
        u, v, ((0.15, -1.0), (-0.55, 0.12), (-0.08, 0.12), (-0.22, 1.0), (0.55, -0.2), (0.08, -0.2))
    ),
    "frame": lambda u, v: np.abs(box(u, v, 0.68, 0.68)) - 0.19,
    "steps": lambda u, v: np.minimum(
        np.minimum(box(u + 0.55, v - 0.55, 0.3, 0.32), box(u, v - 0.25, 0.3, 0.62)),
        box(u - 0.55, v, 0.3, 0.88),
    ),
}


def _cells(u: np.ndarray, v: np.ndarray, size: float) -> np.ndarray:
    """Distance to the nearest centre of a staggered lattice, 0 to about 0.6."""
    row = np.floor(v / size)
    a = u / size + 0.5 * np.mod(row, 2.0)
    return length(a - np.floor(a) - 0.5, v / size - row - 0.5)


# Each gives the share (0 to 1) of the second colour.
TEXTURES: dict[str, Plane] = {
    "plain": lambda u, v: np.zeros(u.shape),
    "striped": lambda u, v: smoothstep(-0.35, 0.35, wave(u * 2.6)),
    "checked": lambda u, v: smoothstep(-0.12, 0.12, wave(u * 1.5) * wave(v * 1.5)),
    "dotted": lambda u, v: smoothstep(0.34, 0.24, _cells(u, v, 0.36)),
    "ringed": lambda u, v: smoothstep(-0.35, 0.35, wave(length(u, v) * 2.7)),
    "scaled": lambda u, v: smoothstep(0.2, 0.62, _cells(u, v, 0.42)),
    "woven": lambda u, v: np.maximum(
        smoothstep(0.3, 0.8, wave(u * 3.2)), smoothstep(0.3, 0.8, wave(v * 3.2))
    ),
}
CLASSES: dict[str, tuple[str, str]] = {
    f"{texture}_{shape}": (shape, texture)
    for shape, texture in (
        ("disc", "checked"), ("ring", "plain"), ("star", "striped"), ("square", "dotted"),
        ("cog", "plain"), ("heart", "scaled"), ("triangle", "ringed"), ("flower", "plain"),
        ("cross", "woven"), ("leaf", "striped"), ("pill", "checked"), ("crescent", "dotted"),
        ("arrow", "plain"), ("hexagon", "woven"), ("bolt", "scaled"), ("disc", "ringed"),
        ("frame", "striped"), ("burst", "dotted"), ("drop", "plain"), ("steps", "checked"),
    )
}  # fmt: skip
"""Class name -> shape and texture; colours, poses and backgrounds say nothing about the class."""


def _colour(draw: Draw, low: float, high: float) -> Colour:
    """A random colour between two brightnesses (linear light)."""
    base = [draw.uniform(0.15, 1.0) for _ in range(3)]
    bright = draw.uniform(low, high) / max(base)
    return base[0] * bright, base[1] * bright, base[2] * bright


def class_image(name: str, index: int, size: int, seed: int) -> np.ndarray:
    """The uint8 (size, size, 3) image `index` of class `name`; no other image matters to it."""
    draw = Draw(seed, "classes", name, index)
    shape, texture = SHAPES[CLASSES[name][0]], TEXTURES[CLASSES[name][1]]
    grid = Grid.of_size(96, 96, size / 96)
    light = Light.drawn(draw, swing=0.5)

    # Background: a soft two-colour ground with broad and fine structure, sometimes striped.
    ground = _colour(draw, 0.08, 0.7), _colour(draw, 0.08, 0.7)
    broad, fine, turns = (
        Noise.drawn(draw, draw.uniform(14, 40), 16),
        Noise.drawn(draw, draw.uniform(1.2, 4)),
        draw.uniform(),
    )
    a, b = grid.local(48, 48, turns)
    mix = 0.5 + 0.6 * broad.at(a, b) + (0.3 * wave(a / draw.uniform(7, 22)) if draw.uniform() < 0.35 else 0.0)
    mix = clip01(mix + draw.uniform(0.05, 0.3) * fine.at(a, b * draw.uniform(0.2, 1.0)))
    canvas = Canvas(grid, ground[0])
    canvas.pixels += (np.asarray(ground[1]) - np.asarray(ground[0])) * mix[:, :, None]
    canvas.pixels *= np.maximum(light.falloff(grid), 0.2)[:, :, None]

    # Pose: place, angle, size, stretch and shear.
    x, y, turns = draw.uniform(38, 58), draw.uniform(38, 58), draw.uniform()
    reach, stretch, shear = draw.uniform(24, 40), draw.uniform(0.78, 1.25), draw.uniform(-0.25, 0.25)

    def placed(dx: float = 0.0, dy: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        u, v = grid.local(x + dx, y + dy, turns)
        return (u + shear * v) / (reach * stretch), v * stretch / reach

    dx, dy = light.shadow(draw.uniform(2.0, 5.0))
    softness = draw.uniform(3.0, 8.0)
    cast = smoothstep(softness / 2, -softness / 2, shape(*placed(dx, dy)) * reach)
    canvas.tint(grid, draw.uniform(0.3, 0.65) * cast, (0.12, 0.12, 0.15))

    u, v = placed()
    distance = shape(u, v) * reach
    first, second = _colour(draw, 0.25, 0.95), _colour(draw, 0.04, 0.3)
    if draw.uniform() < 0.5:
        first, second = second, first
    pattern = texture(u, v)
    grain = Noise.drawn(draw, draw.uniform(1.0, 3.0))
    rough = draw.uniform(0.05, 0.3)
    height = draw.uniform(1.5, 4.0) * np.sqrt(smoothstep(0.5, -draw.uniform(4.0, 9.0), distance))
    height = height + rough * grain.at(u * reach, v * reach) - 0.5 * pattern
    brightness, gloss = light.relief(*slopes(height, grid.scale))
    albedo = np.asarray(first) + (np.asarray(second) - np.asarray(first)) * pattern[:, :, None]
    colour = albedo * (brightness * (1.0 + rough * grain.at(v * reach, u * reach)))[:, :, None]
    canvas.blend(grid, coverage(distance, grid, 1.2), colour + draw.uniform(0, 0.4) * gloss[:, :, None])

    exposure = draw.uniform(0.75, 1.2)
    levels = np.sqrt(np.minimum(np.maximum(canvas.pixels * exposure, 0.0), 1.0)) * 255.0
    noisy = levels + draw.uniform(1.0, 5.0) * draw.bells(levels.shape)
    return np.minimum(np.maximum(np.floor(noisy + 0.5), 0), 255).astype(np.uint8)
