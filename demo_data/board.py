"""Board: a green circuit board with chips, cans, a crystal and a pin header (a board with components)."""

from dataclasses import dataclass, replace

import numpy as np

from demo_data.drawing import Canvas, Light, box, chain, direction, noise, smoothstep
from demo_data.marks import Mark, drop, scratch
from demo_data.photograph import Part

GOLD, TIN, BLACK, PRINT = (0.68, 0.49, 0.15), (0.55, 0.56, 0.56), (0.032, 0.033, 0.037), (0.62, 0.64, 0.62)
PITCH = 3.4  # distance between a chip's pins


@dataclass
class Component:
    """One component; (u, v) is its place on the board, `width` lies along its own first axis."""

    kind: str
    u: float
    v: float
    width: float
    height: float
    turns: float = 0.0


LAYOUT = (
    Component("chip", -34, -8, 34, 34), Component("chip", 30, -30, 30, 17),
    Component("chip", 22, 10, 22, 14, 0.25), Component("crystal", -34, 28, 24, 9),
    Component("can", 60, 2, 17, 17), Component("can", 60, 24, 17, 17), Component("header", 0, 49, 80, 9),
    Component("led", 66, -38, 8, 8), Component("capacitor", 54, -18, 9, 5),
    *(Component("resistor", u, v, 10, 5) for u, v in ((-64, -34), (-64, -24), (2, -40))),
    *(Component("resistor", u, v, 10, 5, 0.25) for u, v in ((-64, 8), (40, 6))),
    *(Component("capacitor", u, v, 9, 5, 0.25) for u, v in ((2, 24), (-64, 26), (0, -10))),
)  # fmt: skip
TRACES = (  # each ends at a via
    ((-35, 49), (-35, 40), (-50, 25), (-50, 18)), ((-25, 49), (-25, 38), (-14, 27), (-14, 22)),
    ((5, 49), (5, 44), (12, 38), (22, 28), (22, 20)), ((15, 49), (30, 34), (46, 34)),
    ((35, 49), (52, 52), (72, 44), (72, -20), (66, -30)), ((-64, -34), (-56, -34), (-48, -40)),
    ((2, -40), (-6, -44), (-20, -44)), ((-14, -20), (0, -16), (10, -20)),
    ((54, -18), (44, -8), (44, -2), (40, 6)),
)  # fmt: skip
VIAS = [(*points[-1], 2.0, 0.8) for points in TRACES]  # place, outer and inner radius
HOLES = [(u, v, 5.6, 3.4) for u in (-75, 75) for v in (-55, 55)]


def _letters(a: np.ndarray, b: np.ndarray, part: Component) -> np.ndarray:
    dots = np.maximum(np.abs(a % PITCH - 1.7) - 1, np.abs(b % 3.6 - 1.8) - 0.9)  # too small to read
    return np.maximum(dots, box(a, b, part.width / 2 - 5, 3.5))


BODIES = {  # kind: colour, height, corners' radius; colour and signed distance of what is printed on it
    "chip": (BLACK, 3, 1, (0.15,) * 3, _letters),
    "header": (BLACK, 3, 0.5, GOLD, lambda a, b, part: box(a % 10 - 5, b, 1.5, 1.5, 0.4)),
    "can": (TIN, 7, 8.5, (0.07,) * 3, lambda a, b, part: np.maximum(np.hypot(a, b) - 6.7, a + 4)),
    "crystal": ((0.55, 0.56, 0.57), 3.5, 4.3, (0.25,) * 3, lambda a, b, part: box(a, b, 6.7, 0.6)),
    "led": ((0.60, 0.56, 0.46), 3, 1.2, (0.85, 0.10, 0.06), lambda a, b, part: box(a, b, 2.2, 2.2, 0.4)),
    "resistor": (TIN, 2, 0.6, BLACK, lambda a, b, part: np.abs(a) - 0.29 * part.width),
    "capacitor": (TIN, 2, 0.6, (0.45, 0.31, 0.17), lambda a, b, part: np.abs(a) - 0.29 * part.width),
}


def _pads(a: np.ndarray, b: np.ndarray, part: Component) -> np.ndarray:
    """Signed distance to a component's pads: rows of pins along a chip's sides, or two."""
    if part.kind != "chip":
        half = 2 if part.kind in ("can", "header") else part.height / 2 + 0.5
        return box(np.abs(a) - part.width / 2 + 0.6, b, 1.9, half)
    sides = [(a, b, part.width / 2, part.height / 2), (b, a, part.height / 2, part.width / 2)]
    rows = [
        np.maximum(
            np.abs(along % PITCH - PITCH / 2) - 0.85, box(along, np.abs(across) - half - 1.6, end - 3, 1.9)
        )
        for along, across, end, half in sides[: 1 + (part.width == part.height)]
    ]
    return np.minimum.reduce(rows)


class Board(Part):
    """A board laid down by hand; components within the tolerance of their soldering."""

    size = 184, 144
    defects = "missing", "misplaced", "scratch", "solder"

    def __init__(self, rng: np.random.Generator) -> None:
        self.x, self.y, self.turns = rng.uniform((90.5, 70.5, -0.004), (93.5, 73.5, 0.004))
        self.green = np.array((0.020, 0.135, 0.070 * rng.uniform(0.9, 1.1))) * rng.uniform(0.92, 1.08)
        self.light, self.fine, self.broad = Light(rng), noise(rng, 1.5), noise(rng, 30)
        self.parts = [self._moved(part, *rng.uniform(-1, 1, 3) * (0.5, 0.5, 0.006)) for part in LAYOUT]
        self.marks: list[Mark] = []

    @staticmethod
    def _moved(part: Component, du: float, dv: float, turns: float) -> Component:
        return replace(part, u=part.u + du, v=part.v + dv, turns=part.turns + turns)

    def damage(self, defect: str, rng: np.random.Generator) -> None:
        """A part missing or soldered askew, a scratch through the lacquer, or splashed solder."""
        k = rng.choice([k for k, part in enumerate(self.parts) if max(part.width, part.height) < 32])
        x, y = rng.uniform((24, 24), (160, 112))
        if defect == "missing":
            del self.parts[k]
        elif defect == "misplaced":
            far = direction(rng.uniform()) * rng.uniform(2.5, 4.5)
            self.parts[k] = self._moved(self.parts[k], *far, rng.choice((-1, 1)) * rng.uniform(0.03, 0.09))
        elif defect == "scratch":
            shape, factors = rng.uniform((20, 1.1), (36, 1.7)), rng.uniform((2.2, 0.4), (3.2, 0.6))
            self.marks.append(scratch(x, y, rng.uniform(), shape, *factors))
        else:
            for dx, dy in rng.uniform(-2.2, 2.2, (3, 2)):
                self.marks.append(drop(x + dx, y + dy, rng.uniform(1.2, 2.6), (0.42, 0.43, 0.44), 0.5))

    def _frame(self, canvas: Canvas, u: float, v: float, reach: float, turns: float = 0.0):
        """The window around a place on the board, and what gives the coordinates relative to that place."""
        c, s = direction(self.turns)
        x, y = self.x + u * c - v * s, self.y + u * s + v * c
        window = canvas.near(x, y, reach)
        return window, lambda dx=0, dy=0: window.local(x + dx, y + dy, self.turns + turns)

    def _raise(self, canvas: Canvas, part: Component, height: float, radius: float):
        """Casts the shadow of a box; returns its window, coordinates, distance and brightness."""
        half, reach = (part.width / 2, part.height / 2), max(part.width, part.height) / 2 + 2 * height + 3
        window, local = self._frame(canvas, part.u, part.v, reach, part.turns)
        self.light.cast(window, height, lambda *shift: box(*local(*shift), *half, radius))
        distance = box(*local(), *half, radius)
        brightness, _ = self.light.relief(1.3 * smoothstep(0.3, -2, distance), window.scale)
        return window, *local(), distance, brightness

    def paint(self, canvas: Canvas) -> None:
        """Mat, lacquer over copper, print and pads, then the components and what lies on them."""
        mat = 1 + 0.10 * self.fine(canvas.x * 0.7, canvas.y * 0.7)
        canvas.pixels[:] = np.array((0.22, 0.22, 0.23)) * mat[..., None]
        window, u, v, distance, _ = self._raise(canvas, Component("board", 0, 0, 164, 124), 3, 4)
        tone = 1 + 0.06 * self.fine(u, v) + 0.06 * self.broad(u, v)
        window.blend(window.inside(distance), self.green * tone[..., None])
        for points in TRACES:
            window.tint(window.inside(chain(u - 0.5, v - 0.5, points) - 1), 0.7)
            window.tint(window.inside(chain(u, v, points) - 1), (3.4, 2.0, 1.7))
        for u, v, outer, inner in HOLES + VIAS:
            window, local = self._frame(canvas, u, v, outer + 1)
            window.blend(window.inside(np.hypot(*local()) - outer), GOLD)
            window.blend(window.inside(np.hypot(*local()) - inner), (0.02, 0.02, 0.02))
        for part in LAYOUT:  # print and pads stay when a component is missing
            window, local = self._frame(canvas, part.u, part.v, max(part.width, part.height), part.turns)
            margin = 3.6 if part.kind == "chip" else 2.2
            outline = box(*local(), part.width / 2 + margin, part.height / 2 + margin, 1)
            window.blend(0.75 * window.inside(np.abs(outline) - 0.35), PRINT)
            window.blend(window.inside(_pads(*local(), part)), TIN)
        for part in self.parts:
            body, height, radius, printed, shape = BODIES[part.kind]
            window, a, b, distance, brightness = self._raise(canvas, part, height, radius)
            mix = window.inside(shape(a, b, part))[..., None]
            colour = body + (np.array(printed) - body) * mix
            window.blend(window.inside(distance), colour * brightness[..., None])
        for mark in self.marks:
            mark(canvas)
