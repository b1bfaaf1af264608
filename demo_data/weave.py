"""Weave: a twill of blue warp and sand-coloured weft (a texture that fills the image)."""

import numpy as np

from demo_data.drawing import Canvas, Light, direction, noise
from demo_data.marks import Mark, scratch, stain
from demo_data.photograph import Part

PITCH = 6.4  # distance between threads
WARP, WEFT = np.array((0.10, 0.17, 0.30)), np.array((0.52, 0.44, 0.31))


class Weave(Part):
    """A piece of the cloth somewhere on the roll, nearly straight."""

    size = 160, 160
    defects = "cut", "stain", "loose_thread", "missing_thread", "pulled"

    def __init__(self, rng: np.random.Generator) -> None:
        self.x, self.y, self.turns = *rng.uniform(0, 60, 2), rng.uniform(-0.008, 0.008)
        self.light = Light(rng)
        self.shift_u, self.shift_v, self.tone, self.fuzz = (noise(rng, cell) for cell in (28, 28, 1, 1.3))
        self.marks: list[Mark] = []
        self.missing = 0, 0.0, 0.0  # number of a warp thread, and from where to where it is absent
        self.pull = 0.0, 0.0, 1.0, np.zeros(2)  # centre, radius and shift of threads pulled aside

    def damage(self, defect: str, rng: np.random.Generator) -> None:
        """A cut, a stain, a thread lying on the cloth, a missing thread or threads pulled aside."""
        (x, y), turns = rng.uniform(28, 132, 2), rng.uniform()
        if defect == "cut":
            self.marks.append(scratch(x, y, turns, rng.uniform((14, 1.8), (26, 2.8)), 0.12, 1.15))
        elif defect == "stain":
            factor = rng.choice(((0.62, 0.5, 0.4), (0.5, 0.42, 0.55), (0.45, 0.55, 0.5)))
            self.marks.append(stain(rng, x, y, rng.uniform(6, 11), factor))
        elif defect == "loose_thread":
            shape = rng.uniform((24, 1.3), (40, 1.9))
            self.marks.append(scratch(x, y, turns, shape, rng.uniform(1.7, 2.3), 0.45))
        elif defect == "missing_thread":
            start = rng.uniform(20, 90)
            self.missing = (x - 80 + self.x) // PITCH, start, start + rng.uniform(22, 45)
        else:
            self.pull = x, y, rng.uniform(13, 18), direction(turns) * rng.uniform(4, 6)

    def paint(self, canvas: Canvas) -> None:
        """Threads as a height field: each bulges where it passes over the other direction."""
        x, y, radius, (dx, dy) = self.pull
        fall = np.maximum(1 - ((canvas.x - x) ** 2 + (canvas.y - y) ** 2) / radius**2, 0) ** 2
        x, y = canvas.x - 80 - dx * fall, canvas.y - 80 - dy * fall
        c, s = direction(self.turns)
        u, v = (
            x * c + y * s + self.x + 1.3 * self.shift_u(x, y),
            y * c - x * s + self.y + 1.3 * self.shift_v(x, y),
        )
        i, j = np.floor(u / PITCH), np.floor(v / PITCH)
        fu, fv = u / PITCH - i - 0.5, v / PITCH - j - 0.5  # place across the warp and the weft thread
        number, start, end = self.missing
        gap = (i == number) & (canvas.y > start) & (canvas.y < end)
        step = (i - j) % 4
        over = (step < 2) & ~gap  # 2/2 twill: the warp is on top of two weft threads, then below two
        across, along = np.where(over, fu, fv), np.where(over, fv, fu)
        place = along + np.where((step == 0) | (step == 3), 0.5, -0.5)  # -1 to 1 over the two cells it floats
        bulge = np.sqrt(np.maximum(1 - 3.4 * across**2, 0)) * np.where(gap, 0.45, 1)
        twist = (along * 0.9 + across * np.where(over, 0.8, -0.8)) * 2.2 + np.where(over, i, j) * 0.37
        height = 2.4 * (1 - 0.5 * place**2) * bulge + 0.10 * np.sin(2 * np.pi * twist)
        brightness, gloss = self.light.relief(height * 0.6, canvas.scale)
        tone = (
            1
            + 0.14 * self.tone(np.where(over, i, j + 31.5), np.where(over, 7.5, 23.5))
            + 0.12 * self.fuzz(u, v)
        )
        shade = brightness * tone * (0.57 + 0.78 * np.clip(height / 2, 0, 1))
        canvas.pixels[:] = np.where(over[..., None], WARP, WEFT) * shade[..., None] + 0.02 * gloss[..., None]
        for mark in self.marks:
            mark(canvas)
