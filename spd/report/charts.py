"""Line charts of pre-trainings as coordinates for inline SVG, which a page can colour for dark and light."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 340, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34  # room for the axes' texts
POINTS = 200
SERIES = (
    ("loss", (("loss", ""),)),
    ("embedding std · √d (0: collapsed)", (("embedding_std", ""),)),
    (
        "accuracy on held-out images: kNN solid, xent's classifier dashed",
        (("knn", ""), ("perturbed_accuracy", "dashed")),
    ),
    ("cos(z, z⁺) solid, cos(z, z⁻) dashed", (("cos_plus", ""), ("cos_minus", "dashed"))),
)


@dataclass(frozen=True)
class Line:
    """A polyline: SVG points, the number of its colour, and whether it is dashed."""

    label: str
    points: str
    colour: int
    dashed: bool


@dataclass(frozen=True)
class Chart:
    """One panel in a box of WIDTH x HEIGHT; ticks are (position, text)."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def training_charts(histories: Mapping[str, Iterable[Mapping[str, float]]]) -> list[Chart]:
    """Panels of loss, spread of the embedding, accuracies on held-out images, and cosines of SPD's views;
    those without data are left out.

    histories: label -> lines with `step` and, where known, `loss`, `embedding_std`, `knn`,
    `perturbed_accuracy`, `cos_plus`, `cos_minus` (spd.report.figures.read_history). Colours are numbered in
    the order of the labels. Of long histories POINTS lines are drawn, evenly spaced, the first and the last
    among them.
    """
    read = {label: list(lines) for label, lines in histories.items()}
    charts = []
    for title, keys in SERIES:
        curves = []
        for colour, (label, lines) in enumerate(read.items()):
            for key, style in keys:
                known = [(line["step"], line[key]) for line in lines if _finite(line.get(key))]
                if known:
                    curves.append((label, _thin(known), colour, bool(style)))
        if curves:
            charts.append(_chart(title, curves))
    return charts


def _finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


def _thin(known: list[tuple[float, float]]) -> np.ndarray:
    kept = np.unique(np.linspace(0, len(known) - 1, min(POINTS, len(known))).round().astype(int))
    return np.array(known, np.float64)[kept]


def _chart(title: str, curves: list[tuple[str, np.ndarray, int, bool]]) -> Chart:
    every = np.concatenate([points for _, points, _, _ in curves])
    x_ticks, x_of = _axis(every[:, 0], LEFT, WIDTH - RIGHT, 0.0)
    y_ticks, y_of = _axis(every[:, 1], HEIGHT - BOTTOM, TOP, 0.04)
    lines = [
        Line(label, " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points), colour, dashed)
        for label, points, colour, dashed in curves
    ]
    return Chart(title, lines, x_ticks, y_ticks)


def _axis(values: np.ndarray, first: float, last: float, margin: float):
    """Round ticks within the range of the values, and the function from a value to its position."""
    low, high = float(values.min()), float(values.max())
    margin = margin * (high - low) if high > low else 0.5
    low, high = low - margin, high + margin

    def position(value: float) -> float:
        return first + (last - first) * (value - low) / (high - low)

    ticks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high).tolist()
    inside = [tick for tick in ticks if low <= tick <= high]
    return [(round(position(tick), 1), f"{tick:.6g}".replace("-", "−")) for tick in inside], position
