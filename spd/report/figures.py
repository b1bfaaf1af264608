"""Figures as files: qualitative, ROC and PR curves, pre-training curves. Same input, same bytes."""

import io
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from spd.files import atomic_write
from spd.report.arrange import signed
from spd.report.cases import choose_cases, in_normal_units

# Okabe and Ito's colours, told apart by colour-blind readers; the line style differs as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")


class Panel(NamedTuple):
    """One row of the qualitative figure."""

    caption: str
    image: np.ndarray
    """(H, W, 3) uint8."""
    mask: np.ndarray | None
    """(H, W), 0 = normal; None where there is none."""
    without: np.ndarray
    """(H, W) pixel scores without SPD, in the units of spd.report.cases.in_normal_units."""
    with_spd: np.ndarray


def panels_of_object(
    names: Sequence[str],
    anomalous: np.ndarray,
    images: np.ndarray,
    masks: np.ndarray | None,
    without: tuple[np.ndarray, np.ndarray],
    with_spd: tuple[np.ndarray, np.ndarray],
) -> list[Panel]:
    """The panels of one object's test images: cases by the rule, heat maps in units both sides share.

    names: N image names; anomalous: (N,) bool; images: (N, 3, H, W) uint8; masks: (N, H, W), 0 = normal, or
    None; without, with_spd: image scores (N,) and maps (N, H, W) of the same images. Empty without anomalies.
    """
    cases = choose_cases(without[0], with_spd[0], anomalous, names)
    if not cases:
        return []
    maps = [in_normal_units(side[1], anomalous) for side in (without, with_spd)]
    return [
        Panel(
            f"{case.kind}: {names[case.index].rpartition('/')[2]}\nrank {signed(100 * case.shift)} %",
            np.moveaxis(images[case.index], 0, -1),
            None if masks is None else masks[case.index],
            *(side[case.index] for side in maps),
        )
        for case in cases
    ]


def qualitative(panels: Sequence[Panel], path: str | Path, *, title: str = "", footer: str = "") -> Path:
    """The poster's figure: image, mask, heat map without and with SPD; a row a panel, one colour scale.

    The scale runs from 0 to the 99.5 % quantile of all scores shown, at least to 1. The suffix of `path`
    (.png or .svg) is the format. Raises ValueError without panels.
    """
    if not panels:
        raise ValueError("no panels: the object has no anomalous test image to show")
    # One hot pixel must not darken everything else; what lies above has the last colour.
    shown = np.concatenate([scores.ravel() for panel in panels for scores in (panel.without, panel.with_spd)])
    ceiling = max(1.0, float(np.quantile(shown, 0.995)))
    with _style():
        figure = Figure(figsize=(9.2, 2.25 * len(panels) + 0.9), layout="constrained")
        axes = figure.subplots(len(panels), 4, squeeze=False)
        heads = ("image", "mask", "without SPD", "with SPD")
        for row, panel in zip(axes, panels, strict=True):
            row[0].imshow(panel.image)
            if panel.mask is not None:
                row[1].imshow(panel.mask != 0, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            else:
                row[1].text(0.5, 0.5, "no mask", ha="center", va="center", transform=row[1].transAxes)
                row[1].set_box_aspect(panel.image.shape[0] / panel.image.shape[1])
            for place, scores in ((row[2], panel.without), (row[3], panel.with_spd)):
                heat = place.imshow(scores, cmap="inferno", vmin=0, vmax=ceiling)
            row[0].set_ylabel(panel.caption, fontsize=8)
            for place in row:
                place.set(xticks=[], yticks=[])
        for place, head in zip(axes[0], heads, strict=True):
            place.set_title(head, fontsize=9)
        bar = figure.colorbar(heat, ax=axes, shrink=0.8, extend="both", pad=0.01)
        bar.set_label("score: 0 = median, 1 = 99 % quantile of normal test pixels", fontsize=8)
        figure.suptitle(title, fontsize=11)
        figure.supxlabel(textwrap.fill(footer, 130), fontsize=7)
        return _save(figure, path)


Curves = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]  # legend label -> kind -> (x, y)
_AXES = {
    "ROC": ("false positive rate", "true positive rate"),
    "PR": ("recall", "precision"),
    "PRO": ("false positive rate", "mean per-region overlap"),
}


def score_curves(levels: Mapping[str, Curves], path: str | Path, *, title: str = "") -> Path:
    """Curves side by side, a row a level: ROC and precision-recall of images; of pixels also PRO, whole.

    levels: `images`, `pixels` or both -> legend label -> `{"ROC": (fpr, tpr), "PR": (recall, precision),
    "PRO": (fpr, mean per-region overlap)}` as spd.metrics.curves gives them; any may be missing (one class
    only, no masks). Raises ValueError without any curve.
    """
    rows = {
        level: [kind for kind in _AXES if any(kind in pair for pair in curves.values())]
        for level, curves in levels.items()
        if any(curves.values())
    }
    if not rows:
        raise ValueError("no curves: every label has one class only")
    width = max(map(len, rows.values()))
    with _style():
        figure = Figure(figsize=(4.4 * width, 4.2 * len(rows) + 0.3), layout="constrained")
        places = figure.subplots(len(rows), width, squeeze=False)
        for row, (level, kinds) in zip(places, rows.items(), strict=True):
            for place, kind in zip(row, kinds, strict=False):
                for i, (label, pair) in enumerate(levels[level].items()):
                    if kind in pair:
                        place.plot(*pair[kind], label=label, **_line(i))
                x, y = _AXES[kind]
                place.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y, box_aspect=1)
                place.set_title(f"{kind}, {level}")
                if kind == "PRO":
                    place.axvline(0.3, color="0.4", linestyle=":", linewidth=1)
                    place.annotate("AU-PRO: left of this", (0.31, 0.02), fontsize=7, color="0.3")
            for place in row[len(kinds) :]:
                place.set_axis_off()
        # Beside the curves where a row has room, else inside its first panel.
        first = next(iter(rows))
        room = places[0, -1] if len(rows[first]) < width else None
        handles = places[0, 0].get_legend_handles_labels()
        if room is not None:
            room.legend(*handles, fontsize=8, loc="center left", frameon=False)
        else:
            places[0, 0].legend(*handles, fontsize=8, loc="lower right")
        figure.suptitle(title, fontsize=11)
        return _save(figure, path)


def pretraining_curves(
    histories: Mapping[str, Iterable[Mapping[str, float]]], path: str | Path, *, title: str = ""
) -> Path:
    """Loss, spread of the embedding, and cosines of SPD's views over the steps of each pre-training.

    histories: legend label -> lines with `step` and, where known, `loss`, `embedding_std`, `cos_plus`,
    `cos_minus`. The spread of the embedding is std * sqrt(d) of unit vectors: 1 spread, 0 collapsed.
    """
    with _style():
        figure = Figure(figsize=(14, max(3.8, 0.8 + 0.21 * len(histories))), layout="constrained")
        loss, spread, cosine = figure.subplots(1, 3)
        # The line's style tells the two cosines apart, so that colours alone must tell the pre-trainings.
        colours = COLOURS if len(histories) <= len(COLOURS) else matplotlib.colormaps["tab20"].colors
        for i, (label, lines) in enumerate(histories.items()):
            lines, look = list(lines), {"color": colours[i % len(colours)], "linewidth": 1.3}
            for place, key in ((loss, "loss"), (spread, "embedding_std")):
                place.plot(*_series(lines, key), label=label, **look)
            for key, style in (("cos_plus", "-"), ("cos_minus", "--")):
                cosine.plot(*_series(lines, key), linestyle=style, **look)
        loss.set(title="loss", xlabel="step")
        spread.set(title="embedding std · √d (0: collapsed)", xlabel="step")
        spread.set_ylim(0, max(1.05, spread.get_ylim()[1]))
        cosine.set(title="cos(z, z⁺) solid, cos(z, z⁻) dashed", xlabel="step")
        figure.legend(*loss.get_legend_handles_labels(), fontsize=8, loc="outside right upper", frameon=False)
        if not any(len(line.get_xdata()) for line in cosine.lines):
            cosine.text(0.5, 0.5, "none with SPD", ha="center", transform=cosine.transAxes)
        figure.suptitle(title, fontsize=11)
        return _save(figure, path)


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Lines of a pre-training's history (JSON lines). ValueError names file and line of what is not JSON."""
    lines = []
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error.msg})") from None
    return lines


def _series(lines: list[Mapping[str, float]], key: str) -> tuple[list[float], list[float]]:
    known = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
    return [step for step, _ in known], [value for _, value in known]


def _line(i: int) -> dict:
    style = STYLES[i // len(COLOURS) % len(STYLES)]
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": style, "linewidth": 1.3}


@contextmanager
def _style():
    # Names are shown as they are (no $math$), and an SVG's ids come from a fixed salt.
    fixed = {"text.parse_math": False, "svg.hashsalt": "spd", "font.family": "DejaVu Sans"}
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **fixed}):
        yield


def _save(figure: Figure, path: str | Path) -> Path:
    suffix = Path(path).suffix.lstrip(".")
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}
    if suffix not in metadata:
        raise ValueError(f"{path}: give a name that ends in .png or .svg")
    content = io.BytesIO()
    figure.savefig(content, format=suffix, dpi=120, metadata=metadata[suffix])
    return atomic_write(path, content.getvalue())
