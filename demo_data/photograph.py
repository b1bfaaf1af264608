"""What is photographed, and how a normal or an anomalous photograph of it is taken."""

import copy
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from scipy import ndimage

from demo_data.drawing import Canvas, stream

VISIBLE = 4
"""A pixel belongs to a defect if it changes a grey level (0 to 255) of some channel by this much or more."""


class Part(Protocol):
    """An object in front of the camera; to create it draws all that varies between normal images."""

    size: ClassVar[tuple[int, int]]
    """Width and height in units."""
    defects: ClassVar[tuple[str, ...]]
    """Defect types; a type's class id in VisA's masks is its place here, from 1."""

    def __init__(self, rng: np.random.Generator) -> None: ...
    def damage(self, defect: str, rng: np.random.Generator) -> None: ...
    def paint(self, canvas: Canvas) -> None: ...


class Photograph(NamedTuple):
    """One image, (H, W, 3), `clean`, the same without defects, and the defects' class ids, (H, W); uint8."""

    image: np.ndarray
    clean: np.ndarray
    classes: np.ndarray


def photograph(
    part: type[Part], scale: float, key: tuple[str | int, ...], defects: tuple[str, ...] = ()
) -> Photograph:
    """Takes the photograph that `key` names: pose, light, texture and noise follow from the key alone.

    The mask of a defect is where the photograph differs from its twin without it, gaps closed. Raises
    ValueError where a defect cannot be seen at this scale.
    """
    scene, rng, canvas = part(stream(*key, "scene")), stream(*key, "camera"), Canvas.blank(*part.size, scale)
    (width, height), (cx, cy) = part.size, rng.uniform(0.4, 0.6, 2)
    vignette = 1 - rng.uniform(0.24, 0.4) * np.hypot(canvas.x / width - cx, canvas.y / height - cy) ** 2
    gain = rng.uniform(0.95, 1.05) * np.array((1, 1, 1)) + rng.uniform(-0.015, 0.015) * np.array((1, 0, -1))
    grain = rng.normal(0, 0.6, (*vignette.shape, 1)) + rng.normal(0, 0.7, canvas.pixels.shape)
    grain *= rng.uniform(1.2, 1.9)  # grey levels

    def levels(scene: Part) -> np.ndarray:
        canvas = Canvas.blank(*part.size, scale)
        scene.paint(canvas)
        exposed = canvas.pixels * gain * vignette[..., None]
        return np.sqrt(np.clip(exposed, 0, 1)) * 255  # a display curve of gamma 2

    def developed(levels: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(levels + grain), 0, 255).astype(np.uint8)

    clean = before = levels(scene)
    classes, gap = np.zeros(vignette.shape, np.uint8), max(1, int(1.5 * scale))
    for defect in defects:
        for attempt in range(12):
            damaged = copy.deepcopy(scene)
            damaged.damage(defect, stream(*key, defect, attempt))
            after = levels(damaged)
            changed = np.abs(after - before).max(axis=2) >= VISIBLE
            if changed.sum() >= max(4, 10 * scale**2):
                break
        else:
            name = f"{part.__name__.lower()}'s {defect}"
            raise ValueError(f"{name} cannot be seen at demo_data.scale {scale}: use a larger one")
        closed = ndimage.binary_closing(np.pad(changed, gap), np.ones((2 * gap + 1,) * 2))
        classes[closed[gap:-gap, gap:-gap]] = part.defects.index(defect) + 1
        scene, before = damaged, after
    return Photograph(developed(before), developed(clean), classes)
