"""Board: a green circuit board with chips, cans, a crystal and a pin header (a board with components)."""

from dataclasses import dataclass, replace

import numpy as np

from demo_data.drawing import (
    Canvas,
    Colour,
    Grid,
    Noise,
    Point,
    box,
    clip01,
    cosine_sine,
    coverage,
    length,
    polyline,
    smoothstep,
)
from demo_data.light import Light
from demo_data.marks import Grains, Mark, Scratch, wandering
from demo_data.part import Part
from demo_data.randomness import Draw

HALF_WIDTH, HALF_HEIGHT = 82.0, 62.0
GOLD: Colour = (0.62, 0.45, 0.14)
TIN: Colour = (0.55, 0.56, 0.56)


@dataclass(frozen=True)
class Component:
    """One component; (u, v) is its place on the board, `width` lies along its own first axis."""

    kind: str
    u: float
    v: float
    width: float
    height: float
    turns: float = 0.0


LAYOUT: tuple[Component, ...] = (
    Component("quad", -34.0, -8.0, 34.0, 34.0),
    Component("dual", 30.0, -30.0, 30.0, 17.0),
    Component("dual", 22.0, 10.0, 22.0, 14.0, 0.25),
    Component("can", 60.0, 2.0, 17.0, 17.0),
    Component("can", 60.0, 24.0, 17.0, 17.0),
    Component("crystal", -34.0, 28.0, 24.0, 9.0),
    Component("led", 66.0, -38.0, 8.0, 8.0),
    Component("resistor", -64.0, -34.0, 10.0, 5.0),
    Component("resistor", -64.0, -24.0, 10.0, 5.0),
    Component("resistor", -64.0, 8.0, 10.0, 5.0, 0.25),
    Component("resistor", 40.0, 6.0, 10.0, 5.0, 0.25),
    Component("resistor", 2.0, -40.0, 10.0, 5.0),
    Component("capacitor", 2.0, 24.0, 9.0, 5.0, 0.25),
    Component("capacitor", -64.0, 26.0, 9.0, 5.0, 0.25),
    Component("capacitor", 0.0, -10.0, 9.0, 5.0, 0.25),
    Component("capacitor", 54.0, -18.0, 9.0, 5.0),
)
PINS: tuple[Point, ...] = tuple((-35.0 + 10 * k, 49.0) for k in range(8))
VIAS: tuple[Point, ...] = (
    (-50, 18),
    (-14, 22),
    (10, -20),
    (44, -8),
    (-48, -40),
    (-20, -44),
    (46, 34),
    (-8, 36),
    (12, 38),
)
TRACES: tuple[tuple[Point, ...], ...] = (
    ((-35, 49), (-35, 40), (-50, 25), (-50, 18)),
    ((-25, 49), (-25, 38), (-14, 27), (-14, 22)),
    ((-15, 49), (-15, 43), (-8, 36)),
    ((-5, 49), (-5, 40), (2, 33), (2, 24)),
    ((5, 49), (5, 44), (12, 38), (22, 28), (22, 20)),
    ((15, 49), (30, 34), (46, 34)),
    ((25, 49), (44, 49), (60, 33)),
    ((35, 49), (52, 52), (72, 44), (72, -20), (66, -30)),
    ((-48, -40), (-56, -34), (-64, -34)),
    ((-20, -44), (-6, -44), (2, -40)),
    ((-14, -20), (0, -16), (10, -20), (16, -26)),
    ((44, -8), (44, -2), (40, 6)),
    ((54, -18), (48, -14), (44, -8)),
    ((-64, -24), (-58, -18), (-52, -18)),
    ((-64, 8), (-58, 2), (-52, 2)),
    ((-14, -2), (-6, -2), (0, -10)),
    ((10, -44), (22, -52), (56, -52), (66, -42)),
)


@dataclass(frozen=True)
class Scene:
    """The board as it lies, and what happened to it."""

    x: float
    y: float
    turns: float
    green: Colour
    light: Light
    mask: tuple[Noise, Noise]
    mat: Noise
    components: tuple[Component, ...]
    pins: tuple[Point, ...]
    marks: tuple[Mark, ...] = ()


def arrange(draw: Draw) -> Scene:
    """A board laid down by hand; components within the tolerance of their soldering."""
    shade = draw.uniform(0.92, 1.08)
    return Scene(
        92 + draw.uniform(-1.5, 1.5),
        72 + draw.uniform(-1.5, 1.5),
        draw.uniform(-0.004, 0.004),
        (0.020 * shade, 0.135 * shade, 0.070 * shade * draw.uniform(0.9, 1.1)),
        Light.drawn(draw),
        (Noise.drawn(draw, 1.5), Noise.drawn(draw, 30.0)),
        Noise.drawn(draw, 2.0),
        tuple(
            replace(
                part,
                u=part.u + draw.uniform(-0.5, 0.5),
                v=part.v + draw.uniform(-0.5, 0.5),
                turns=part.turns
                + draw.uniform(-0.006, 0.006)
                + (draw.uniform() if part.kind == "can" else 0.0),
            )
            for part in LAYOUT
        ),
        tuple((u + draw.uniform(-0.3, 0.3), v + draw.uniform(-0.3, 0.3)) for u, v in PINS),
    )


def _at(scene: Scene, u: float, v: float) -> Point:
    c, s = cosine_sine(scene.turns)
    return scene.x + u * c - v * s, scene.y + u * s + v * c


def damage(scene: Scene, kind: str, draw: Draw) -> Scene:
    """A component missing or soldered askew, a bent pin, a scratch through the mask, a splash of solder."""
    small = [k for k, part in enumerate(scene.components) if part.kind not in ("quad", "can")]
    if kind == "missing":
        gone = draw.choice(small)
        return replace(scene, components=scene.components[:gone] + scene.components[gone + 1 :])
    if kind == "misplaced":
        k = draw.choice(small)
        part = scene.components[k]
        c, s = cosine_sine(draw.uniform())
        far = draw.uniform(2.5, 4.5)
        turned = part.turns + draw.choice((-1, 1)) * draw.uniform(0.03, 0.09)
        moved = replace(part, u=part.u + c * far, v=part.v + s * far, turns=turned)
        return replace(scene, components=(*scene.components[:k], moved, *scene.components[k + 1 :]))
    if kind == "bent_pin":
        k = draw.integer(0, len(scene.pins) - 1)
        c, s = cosine_sine(draw.uniform())
        far = draw.uniform(2.2, 4.0)
        moved_pin = (scene.pins[k][0] + c * far, scene.pins[k][1] + s * far)
        return replace(scene, pins=(*scene.pins[:k], moved_pin, *scene.pins[k + 1 :]))
    x, y = _at(scene, draw.uniform(-68, 68), draw.uniform(-48, 40))
    if kind == "scratch":
        points = wandering(draw, x, y, draw.uniform(), draw.uniform(20, 36), 0.03)
        mark: Mark = Scratch(points, draw.uniform(1.1, 1.7), draw.uniform(2.2, 3.2), draw.uniform(0.4, 0.6))
    else:
        spread = draw.uniform(1.0, 2.6)
        centres = tuple(
            (x + draw.uniform(-spread, spread), y + draw.uniform(-spread, spread)) for _ in range(3)
        )
        mark = Grains(centres, tuple(draw.uniform(1.2, 2.6) for _ in centres), (0.42, 0.43, 0.44), 0.5)
    return replace(scene, marks=(*scene.marks, mark))


def _pads(part: Component) -> list[tuple[float, float, float, float]]:
    """The tin-plated pads of a component: place on the board and half sizes along u and v."""
    c, s = cosine_sine(part.turns)
    sideways = abs(s) > 0.5
    places: list[tuple[float, float, float, float]] = []
    if part.kind in ("resistor", "capacitor", "led", "crystal"):
        for side in (-1, 1):
            places.append((side * (part.width / 2 - 0.6), 0.0, 1.9, part.height / 2 + 0.5))
    if part.kind in ("dual", "quad"):
        count = int((part.width - 3) // 3.4)
        for k in range(count):
            along = (k - (count - 1) / 2) * 3.4
            for side in (-1, 1):
                places.append((along, side * (part.height / 2 + 1.6), 0.85, 1.9))
                if part.kind == "quad":
                    places.append((side * (part.width / 2 + 1.6), along, 1.9, 0.85))
    if part.kind == "can":
        return [(part.u - 5.5, part.v, 3.2, 1.6), (part.u + 5.5, part.v, 3.2, 1.6)]
    out = []
    for a, b, half_a, half_b in places:
        if sideways:
            half_a, half_b = half_b, half_a
        out.append((part.u + a * c - b * s, part.v + a * s + b * c, half_a, half_b))
    return out


class _Painter:
    """Paints in the board's own coordinates."""

    def __init__(self, canvas: Canvas, scene: Scene) -> None:
        self.canvas, self.scene, self.light = canvas, scene, scene.light

    def window(self, u: float, v: float, reach: float) -> Grid:
        return self.canvas.grid.window(*_at(self.scene, u, v), reach)

    def frame(self, window: Grid, u: float, v: float, turns: float = 0.0, dx: float = 0.0, dy: float = 0.0):
        x, y = _at(self.scene, u, v)
        return window.local(x + dx, y + dy, self.scene.turns + turns)

    def shadow(self, part: Component, height: float, radius: float) -> None:
        window = self.window(part.u, part.v, max(part.width, part.height) / 2 + height * 2 + 4)
        dx, dy = self.light.shadow(height)
        for share, soft, strength in ((1.0, height * 0.9 + 1, 0.6), (0.2, 1.6, 0.35)):
            a, b = self.frame(window, part.u, part.v, part.turns, dx * share, dy * share)
            cast = smoothstep(soft / 2, -soft / 2, box(a, b, part.width / 2, part.height / 2, radius))
            self.canvas.tint(window, strength * cast, (0.1, 0.1, 0.12))

    def block(
        self, part: Component, colour: Colour, height: float, radius: float, gloss: float = 0.0
    ) -> None:
        """A box with rounded edges that catch the light."""
        self.shadow(part, height, radius)
        window = self.window(part.u, part.v, max(part.width, part.height) / 2 + 3)
        a, b = self.frame(window, part.u, part.v, part.turns)
        distance = box(a, b, part.width / 2, part.height / 2, radius)
        edge = smoothstep(-1.6, 0.0, distance)
        px, py = a / (part.width / 2), b / (part.height / 2)
        steep = np.abs(px) > np.abs(py)
        c, s = cosine_sine(self.scene.turns + part.turns)
        na, nb = np.where(steep, np.sign(a), 0.0) * edge, np.where(steep, 0.0, np.sign(b)) * edge
        facing = (na * c - nb * s) * self.light.x + (na * s + nb * c) * self.light.y
        sheen = gloss * smoothstep(1.4, 0.0, np.abs(px * 0.8 - py * 0.6 + self.light.slope * 4))
        bright = (0.85 + 0.75 * facing)[:, :, None] * np.asarray(colour) + sheen[:, :, None]
        self.canvas.blend(window, coverage(distance, window), bright)

    def rectangle(
        self, u: float, v: float, half_u: float, half_v: float, colour: Colour, turns: float = 0.0
    ) -> None:
        window = self.window(u, v, max(half_u, half_v) + 2)
        a, b = self.frame(window, u, v, turns)
        shine = 1.0 + 0.25 * (a * self.light.x + b * self.light.y) / max(half_u, half_v)
        self.canvas.blend(
            window, coverage(box(a, b, half_u, half_v, 0.4), window), np.asarray(colour) * shine[:, :, None]
        )

    def can(self, part: Component) -> None:
        self.shadow(part, 7.0, part.width / 2)
        window = self.window(part.u, part.v, part.width / 2 + 3)
        a, b = self.frame(window, part.u, part.v, part.turns)
        radius = length(a, b)
        rim = part.width / 2
        dx, dy = self.frame(window, part.u, part.v)
        facing = (dx * self.light.x + dy * self.light.y) / (radius + 0.5)
        top = 0.50 + 0.16 * facing * facing * facing
        side = 0.30 + 0.45 * facing
        bright = np.where(radius < rim - 1.8, top, side)
        stripe = coverage(np.maximum(radius - rim + 1.8, -4.0 - a), window) * coverage(a + 4.0, window)
        bright = bright * (1.0 - 0.8 * stripe)
        self.canvas.blend(
            window, coverage(radius - rim, window), np.asarray((0.95, 0.98, 1.0)) * bright[:, :, None]
        )

    def component(self, part: Component) -> None:
        c, s = cosine_sine(part.turns)

        def mark(a: float, b: float, half_a: float, half_b: float, colour: Colour) -> None:
            self.rectangle(part.u + a * c - b * s, part.v + a * s + b * c, half_a, half_b, colour, part.turns)

        if part.kind in ("quad", "dual"):
            for u, v, half_u, half_v in _pads(part):
                self.rectangle(u, v, half_u * 0.7, half_v * 0.7, (0.75, 0.76, 0.76))
            self.block(part, (0.030, 0.031, 0.034), 3.0, 1.0, 0.02)
            mark(-part.width / 2 + 3.4, part.height / 2 - 3.4, 0.9, 0.9, (0.12, 0.12, 0.12))
            for row in range(2):  # lettering, too small to read
                for k in range(int(part.width // 5)):
                    mark(-part.width / 2 + 4.5 + 3.4 * k, -1.5 + 3.6 * row, 1.0, 0.9, (0.16, 0.16, 0.16))
        elif part.kind in ("resistor", "capacitor"):
            body = (0.035, 0.035, 0.04) if part.kind == "resistor" else (0.42, 0.30, 0.17)
            self.block(part, TIN, 2.0, 0.6, 0.15)
            self.block(replace(part, width=part.width * 0.58), body, 0.3, 0.3, 0.03)
            if part.kind == "resistor":
                mark(0.0, 0.0, 1.3, 0.9, (0.35, 0.35, 0.35))
        elif part.kind == "crystal":
            self.block(part, (0.46, 0.47, 0.48), 3.5, part.height / 2 - 0.2, 0.22)
            mark(0.0, 0.0, part.width * 0.28, 0.6, (0.22, 0.22, 0.23))
        elif part.kind == "led":
            self.block(part, (0.60, 0.56, 0.46), 3.0, 1.2, 0.1)
            mark(0.0, 0.0, 2.2, 2.2, (0.80, 0.10, 0.06))
        elif part.kind == "can":
            self.can(part)


def paint(grid: Grid, scene: Scene) -> np.ndarray:
    """Mat, board, copper under green lacquer, white print, pads, then what is soldered on."""
    canvas = Canvas(grid, (0.22, 0.22, 0.23))
    canvas.pixels *= ((1.0 + 0.10 * scene.mat.at(grid.x, grid.y)) * scene.light.falloff(grid))[:, :, None]
    painter = _Painter(canvas, scene)
    whole = Component("board", 0.0, 0.0, 2 * HALF_WIDTH, 2 * HALF_HEIGHT)
    painter.shadow(whole, 3.0, 4.0)
    u, v = painter.frame(grid, 0.0, 0.0)
    distance = box(u, v, HALF_WIDTH, HALF_HEIGHT, 4.0)
    for a, b in ((-75, -55), (75, -55), (-75, 55), (75, 55)):
        distance = np.maximum(distance, 3.4 - length(u - a, v - b))
    fine, broad = scene.mask
    tone = (1.0 + 0.06 * fine.at(u, v) + 0.06 * broad.at(u, v)) * scene.light.falloff(grid)
    canvas.blend(grid, coverage(distance, grid), np.asarray(scene.green) * tone[:, :, None])
    for points in TRACES:
        middle = [sum(p[k] for p in points) / len(points) for k in (0, 1)]
        reach = max(max(abs(p[0] - middle[0]), abs(p[1] - middle[1])) for p in points) + 4
        window = painter.window(middle[0], middle[1], reach)
        a, b = painter.frame(window, 0.0, 0.0)
        line = polyline(a, b, points)
        canvas.tint(window, coverage(polyline(a - 0.5, b - 0.5, points) - 1.0, window), (0.7, 0.7, 0.7))
        canvas.tint(window, coverage(line - 1.0, window), (3.4, 2.0, 1.7))
    for a, b in ((-75, -55), (75, -55), (-75, 55), (75, 55)):
        window = painter.window(a, b, 8)
        r = length(*painter.frame(window, a, b))
        canvas.blend(window, coverage(np.maximum(r - 5.6, 3.4 - r), window), GOLD)
    for a, b in VIAS:
        window = painter.window(a, b, 4)
        r = length(*painter.frame(window, a, b))
        canvas.blend(window, coverage(r - 2.0, window), GOLD)
        canvas.blend(window, coverage(r - 0.8, window), (0.02, 0.02, 0.02))
    for part in LAYOUT:  # print and pads belong to the bare board: they stay when a component is missing
        window = painter.window(part.u, part.v, max(part.width, part.height) / 2 + 8)
        a, b = painter.frame(window, part.u, part.v, part.turns)
        margin = 3.6 if part.kind in ("quad", "dual") else 2.2
        frame = np.abs(box(a, b, part.width / 2 + margin, part.height / 2 + margin, 1.0)) - 0.35
        canvas.blend(window, 0.75 * coverage(frame, window), (0.62, 0.64, 0.62))
        for pad in _pads(part):
            painter.rectangle(*pad, TIN)
    painter.block(Component("header", 0.0, 49.0, 80.0, 9.0), (0.035, 0.035, 0.04), 3.0, 0.5, 0.02)
    for part in scene.components:
        painter.component(part)
    for (pu, pv), (bu, bv) in zip(scene.pins, PINS, strict=True):
        window = painter.window(bu, bv, 11)
        a, b = painter.frame(window, 0.0, 0.0)
        dx, dy = scene.light.shadow(3.0)
        stem = polyline(a - dx, b - dy, ((bu, bv), (pu, pv), (pu, pv))) - 1.6
        canvas.tint(window, 0.5 * coverage(stem, window, 1.5), (0.1, 0.1, 0.1))
        stem = polyline(a, b, ((bu, bv), (pu, pv), (pu, pv))) - 1.3
        canvas.blend(window, coverage(stem, window), (0.36, 0.26, 0.08))
        tip = box(a - pu, b - pv, 1.5, 1.5, 0.4)
        shine = 0.9 + 0.35 * ((a - pu) * scene.light.x + (b - pv) * scene.light.y)
        canvas.blend(window, coverage(tip, window), np.asarray(GOLD) * 1.15 * clip01(shine)[:, :, None])
    for mark in scene.marks:
        mark.lay(canvas)
    return canvas.pixels


PART = Part(
    "board",
    184,
    144,
    False,
    ("missing", "misplaced", "bent_pin", "scratch", "solder"),
    arrange,
    damage,
    paint,
)
