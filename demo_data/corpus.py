"""The pre-training corpus: textured shapes in many poses, colours, lights and surroundings."""

import numpy as np

from demo_data.drawing import Canvas, Field, Light, box, noise, smoothstep, stream

SHAPES: dict[str, Field] = {  # negative inside; all within the unit square around the origin
    "disc": lambda u, v: np.hypot(u, v) - 0.85,
    "cross": lambda u, v: np.minimum(box(u, v, 0.9, 0.28, 0.06), box(u, v, 0.28, 0.9, 0.06)),
    "crescent": lambda u, v: np.maximum(np.hypot(u, v) - 0.88, 0.72 - np.hypot(u - 0.42, v)),
    "flower": lambda u, v: np.hypot(u, v) - 0.7 - 0.22 * np.cos(5 * np.arctan2(v, u)),
    "cog": lambda u, v: np.hypot(u, v) - 0.78 - 0.12 * np.tanh(4 * np.cos(9 * np.arctan2(v, u))),
}
TEXTURES: dict[str, Field] = {  # the share (0 to 1) of the second colour
    "plain": lambda u, v: np.zeros(u.shape),
    "striped": lambda u, v: smoothstep(-0.35, 0.35, np.sin(16 * u)),
    "checked": lambda u, v: smoothstep(-0.12, 0.12, np.sin(9.5 * u) * np.sin(9.5 * v)),
    "dotted": lambda u, v: smoothstep(0.34, 0.24, np.hypot((u / 0.36) % 1 - 0.5, (v / 0.36) % 1 - 0.5)),
}
CLASSES = {f"{texture}_{shape}": (shape, texture) for texture in TEXTURES for shape in SHAPES}
"""Class name -> shape and texture; colours, poses and backgrounds say nothing about the class."""


def _colour(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    base = rng.uniform(0.15, 1.0, 3)
    return base / base.max() * rng.uniform(low, high)


def class_image(name: str, index: int, size: int, seed: int) -> np.ndarray:
    """The uint8 (size, size, 3) image `index` of class `name`; no other image matters to it."""
    rng = stream(seed, "classes", name, index)
    shape, texture = SHAPES[CLASSES[name][0]], TEXTURES[CLASSES[name][1]]
    canvas, light = Canvas.blank(96, 96, size / 96), Light(rng, swing=0.5)

    # Background: two colours with broad and fine structure, sometimes striped.
    ground, other = _colour(rng, 0.08, 0.7), _colour(rng, 0.08, 0.7)
    a, b = canvas.local(48, 48, rng.uniform())
    mix = 0.5 + 0.6 * noise(rng, rng.uniform(14, 40))(a, b)
    mix += 0.3 * (rng.uniform() < 0.35) * np.sin(a / rng.uniform(1.1, 3.5))
    mix += rng.uniform(0.05, 0.3) * noise(rng, rng.uniform(1.2, 4))(a, b * rng.uniform(0.2, 1))
    canvas.pixels[:] = ground + (other - ground) * np.clip(mix, 0, 1)[..., None]

    # Pose: place, angle, size, stretch and shear.
    x, y, turns = *rng.uniform(38, 58, 2), rng.uniform()
    reach, stretch, shear = rng.uniform(24, 40), rng.uniform(0.78, 1.25), rng.uniform(-0.25, 0.25)

    def placed(dx: float = 0.0, dy: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        u, v = canvas.local(x + dx, y + dy, turns)
        return (u + shear * v) / (reach * stretch), v * stretch / reach

    light.cast(canvas, rng.uniform(2, 5), lambda *shift: shape(*placed(*shift)) * reach)
    u, v = placed()
    distance, pattern = shape(u, v) * reach, texture(u, v)
    first, second = rng.permutation([_colour(rng, 0.25, 0.95), _colour(rng, 0.04, 0.3)])
    rough = rng.uniform(0.05, 0.3) * noise(rng, rng.uniform(1, 3))(u * reach, v * reach)
    edge = np.sqrt(smoothstep(0.5, -rng.uniform(4, 9), distance))
    brightness, gloss = light.relief(rng.uniform(1.5, 4) * edge + rough - 0.5 * pattern, canvas.scale)
    albedo = first + (second - first) * pattern[..., None]
    colour = albedo * (brightness * (1 + rough))[..., None] + rng.uniform(0, 0.4) * gloss[..., None]
    canvas.blend(canvas.inside(distance, 1.2), colour)

    levels = np.sqrt(np.clip(canvas.pixels * rng.uniform(0.75, 1.2), 0, 1)) * 255
    return np.clip(np.rint(levels + rng.normal(0, rng.uniform(1, 5), levels.shape)), 0, 255).astype(np.uint8)
