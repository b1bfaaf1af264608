"""What a drawn object is, and how a normal or an anomalous photograph of it is taken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from demo_data.drawing import Grid
from demo_data.randomness import Draw

VISIBLE = 4
"""A pixel belongs to a defect if it changes a grey level (0 to 255) of some channel by this much or more."""


@dataclass(frozen=True)
class Part:
    """An object of the demo. A scene is drawn once; a defect changes the scene, and both are painted."""

    name: str
    width: int
    height: int
    """Size in nominal units: pixels at scale 1."""
    grey: bool
    defects: tuple[str, ...]
    """Defect kinds; a kind's class id in VisA's masks is its place in this tuple, from 1."""
    arrange: Callable[[Draw], Any]
    """Draws everything that varies between normal images."""
    damage: Callable[[Any, str, Draw], Any]
    """The scene with one defect of the given kind more."""
    paint: Callable[[Grid, Any], np.ndarray]
    """Linear light (H, W, 3) of a scene."""


@dataclass(frozen=True)
class Photograph:
    """One image with what is wrong in it."""

    image: np.ndarray
    """uint8 (H, W, 3) or, for a grey part, (H, W)."""
    clean: np.ndarray
    """The same photograph without defects."""
    classes: np.ndarray
    """uint8 (H, W): class id of the defect, 0 where there is none."""
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Camera:
    """Exposure, colour balance, vignetting and noise of one photograph."""

    gain: np.ndarray  # (3,)
    vignette: float
    centre: tuple[float, float]
    noise: np.ndarray  # (H, W, 3), in grey levels

    @classmethod
    def drawn(cls, draw: Draw, part: Part, shape: tuple[int, int]) -> "Camera":
        """A camera with the usual variation; noise of about two grey levels."""
        exposure, warmth = draw.uniform(0.95, 1.05), draw.uniform(-0.015, 0.015)
        gain = np.array([exposure * (1 + warmth), exposure, exposure * (1 - warmth)])
        vignette, level = draw.uniform(0.12, 0.2), draw.uniform(1.2, 1.9)
        centre = (part.width * draw.uniform(0.4, 0.6), part.height * draw.uniform(0.4, 0.6))
        grey = draw.bells((*shape, 1))
        noise = level * (grey * 0.8 if part.grey else grey * 0.6 + draw.bells((*shape, 3)) * 0.7)
        return cls(gain, vignette, centre, np.broadcast_to(noise, (*shape, 3)))

    def levels(self, light: np.ndarray, grid: Grid, part: Part) -> np.ndarray:
        """Grey levels, float64 (H, W, 3), before noise: exposure, vignette and a display curve of gamma 2."""
        dx, dy = (grid.x - self.centre[0]) / part.width, (grid.y - self.centre[1]) / part.height
        exposed = light * self.gain * (1.0 - self.vignette * (dx * dx + dy * dy) * 2.0)[:, :, None]
        if part.grey:
            exposed = (exposed[..., :1] + exposed[..., 1:2] * 2.0 + exposed[..., 2:]) / 4.0
            exposed = np.broadcast_to(exposed, (*exposed.shape[:2], 3))
        return np.sqrt(np.minimum(np.maximum(exposed, 0.0), 1.0)) * 255.0

    def develop(self, levels: np.ndarray, part: Part) -> np.ndarray:
        """The uint8 image with its noise."""
        image = np.minimum(np.maximum(np.floor(levels + self.noise + 0.5), 0), 255).astype(np.uint8)
        return np.ascontiguousarray(image[..., 0]) if part.grey else image


def closed(mask: np.ndarray, radius: int) -> np.ndarray:
    """Binary closing with a square: fills gaps inside a defect without widening its outline."""

    def spread(m: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            padded = np.pad(m, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)])
            m = np.logical_or.reduce(
                np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis), axis=-1
            )
        return m

    grown = spread(np.pad(mask, radius))
    return ~spread(~grown)[radius:-radius, radius:-radius]


def photograph(
    part: Part, scale: float, key: tuple[str | int, ...], kinds: tuple[str, ...] = ()
) -> Photograph:
    """Takes the photograph that `key` names, with the given defects; no other photograph matters to it."""
    grid = Grid.of_size(part.width, part.height, scale)
    scene = part.arrange(Draw(*key, "scene"))
    camera = Camera.drawn(Draw(*key, "camera"), part, grid.x.shape)
    clean = before = camera.levels(part.paint(grid, scene), grid, part)
    classes = np.zeros(grid.x.shape, np.uint8)
    smallest = max(4.0, 10.0 * scale * scale)  # pixels: a defect must be there to be found
    for kind in kinds:
        for attempt in range(12):
            damaged = part.damage(scene, kind, Draw(*key, kind, attempt))
            after = camera.levels(part.paint(grid, damaged), grid, part)
            changed = np.abs(after - before).max(axis=2) >= VISIBLE
            if changed.sum() >= smallest:
                break
        else:
            raise ValueError(
                f"demo data: {part.name}'s {kind} is invisible at scale {scale}: use a larger scale"
            )
        mask = closed(changed, max(1, int(1.5 * scale)))
        classes[mask] = part.defects.index(kind) + 1
        scene, before = damaged, after
    return Photograph(camera.develop(before, part), camera.develop(clean, part), classes, kinds)
