"""Cells to the tidy table of the contract: one row a number."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from spd.detectors.results import ImageScores
from spd.metrics.aggregate import (
    Effect,
    ImageEffects,
    PairedScores,
    bootstrap_image_effects,
    paired_effect,
    summarise,
)
from spd.report.cells import Cell, Pretraining
from spd.report.options import TableOptions
from spd.report.published import Key, Published, published_values

COLUMNS = [
    "table",
    "dataset",
    "object",
    "setup",
    "detector",
    "profile",
    "method",
    "spd",
    "backbone",
    "shots",
    "task",
    "metric",
    "value",
    "std",
    "n",
    "ci_low",
    "ci_high",
    "delta",
    "delta_ci_low",
    "delta_ci_high",
    "published",
    "published_delta",
    "source",
    "note",
]
MEAN = "mean"  # the object name of the unweighted average over objects
TASKS = ("classification", "segmentation")
METRICS = ("AU-PR", "AU-ROC", "AP", "F1-max", "AU-PRO")

Run = tuple[int, int]  # (pre-training seed, few-shot draw)
Values = dict[str, dict[Run, float | None]]  # object -> run -> fraction, None where undefined
Scores = dict[str, dict[Run, ImageScores | None]]  # object -> run -> scores, None where they were not kept


@dataclass(frozen=True)
class _Place:
    """Where a number stands, but for its object."""

    dataset: str
    setup: str
    detector: str
    profile: str
    pretraining: str
    shots: int | None
    task: str
    metric: str


def tidy(cells: Iterable[Cell], table: str, options: TableOptions, *, intervals: bool = True) -> pd.DataFrame:
    """The tidy frame of a table, with exactly the columns `COLUMNS`.

    Values are in per cent at full precision; what is undefined is missing (empty in a CSV). Each object has a
    row, and `mean` is their unweighted average. `value`, `std` (n - 1) and `n` are over runs (seeds x draws).
    `delta` is the effect of SPD: the value minus that of the same method and backbone without, paired by
    seed, draw and object, in points. Its interval redraws seeds, draws and objects, of image metrics the test
    images too where every cell kept its scores; `note` says which of them (`resampled`). Without `intervals`
    those columns are empty. Rows follow the options' data sets, profiles, pre-trainings, then shots,
    task, metric, object. (ours)

    Raises ValueError when two pre-trainings would be indistinguishable in the table, presets are mixed, or
    without and with SPD were scored on different images.
    """
    cells = selected(cells, options)
    preset = one_preset(cells)
    names = {cell.pretraining.name: cell.pretraining for cell in cells}
    _refuse_twins(names)
    published = published_values(options.published) if preset == "paper" else {}
    numbers, scores = _numbers(cells), _scores(cells)
    image_effects: dict[tuple, dict[str, ImageEffects]] = {}
    rows = []
    row_keys = list(dict.fromkeys(_row_key(cell, cell.pretraining.name) for cell in cells))
    for place in sorted(
        numbers,
        key=lambda p: (
            row_keys.index(_row_key(p, p.pretraining)),
            TASKS.index(p.task),
            METRICS.index(p.metric),
        ),
    ):
        pretraining = names[place.pretraining]
        values = numbers[place]
        base = _base(pretraining, names)
        baseline = numbers.get(replace(place, pretraining=base)) if base else None
        known = _published(place, pretraining, published)
        try:
            images = None
            if baseline and intervals and place.task == "classification":
                mine, theirs = (_row_key(place, name) for name in (place.pretraining, base))
                if mine not in image_effects:
                    image_effects[mine] = _image_effects(scores[mine], scores[theirs])
                images = image_effects[mine].get(place.metric)
            summaries = list(_summaries(values, baseline, images, intervals))
        except ValueError as error:
            where = f"{place.pretraining}, {place.dataset}, {place.detector}, profile {place.profile}"
            raise ValueError(f"table {table}: {where}: {error}") from None
        for name, summary in summaries:
            value = summary.pop("value")
            quoted = known if name == MEAN else None
            rows.append(
                {
                    "table": table,
                    "dataset": place.dataset,
                    "object": name,
                    "setup": place.setup,
                    "detector": place.detector,
                    "profile": place.profile,
                    "method": pretraining.method,
                    "spd": pretraining.spd,
                    "backbone": pretraining.backbone,
                    "shots": place.shots,
                    "task": place.task,
                    "metric": place.metric,
                    "value": value,
                    **summary,
                    "published": quoted.value if quoted else None,
                    "published_delta": _published_delta(value, quoted),
                    "source": quoted.source if quoted else "",
                    "note": " ".join(filter(None, [summary["note"], quoted.note if quoted else ""])),
                }
            )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"shots": "Int64", "n": "Int64"} | dict.fromkeys(_NUMBERS, "float64"))


_NUMBERS = (
    *("value", "std", "ci_low", "ci_high"),
    *("delta", "delta_ci_low", "delta_ci_high", "published", "published_delta"),
)


def selected(cells: Iterable[Cell], options: TableOptions) -> list[Cell]:
    """The cells that the options ask for, in the options' order; others are none of the table's business.

    Data sets are named in the options as cells name them: by the name that is shown.
    """
    wanted = [
        cell
        for cell in cells
        if cell.dataset in options.datasets
        and cell.setup == options.setup
        and cell.detector in options.detectors
        and cell.profile in options.profiles
        and cell.pretraining.name in options.rows
    ]
    return sorted(
        wanted,
        key=lambda c: (
            options.datasets.index(c.dataset),
            options.profiles.index(c.profile),
            options.detectors.index(c.detector),
            options.rows.index(c.pretraining.name),
            c.shots or 0,
            c.run,
            sorted(c.objects),
        ),
    )


def one_preset(cells: Iterable[Cell]) -> str | None:
    """The preset of all cells, None without cells. ValueError when they are mixed."""
    presets = sorted({cell.provenance.preset for cell in cells})
    if len(presets) > 1:
        raise ValueError(
            f"cells of different presets in one table: {', '.join(presets)}; give it those of one"
        )
    return presets[0] if presets else None


def percent(fraction: float) -> float:
    """A fraction as per cent, without the last-bit noise of the multiplication (0.93 -> 93.0)."""
    return round(100 * fraction, 12)


def _refuse_twins(names: dict[str, Pretraining]) -> None:
    taken: dict[tuple, str] = {}
    for name, p in names.items():
        other = taken.setdefault((p.method, p.spd, p.backbone), name)
        if other != name:
            raise ValueError(
                f"pre-trainings {other} and {name} look the same in a table "
                f"({p.method}, {p.spd}, {p.backbone}); give one of them another label"
            )


def _numbers(cells: list[Cell]) -> dict[_Place, Values]:
    numbers: dict[_Place, Values] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        for name, result in cell.objects.items():
            for task in TASKS:
                scored = getattr(result, task)
                for metric, value in scored.metrics.items() if scored else ():
                    place = _Place(
                        cell.dataset, cell.setup, cell.detector, cell.shown_profile,
                        cell.pretraining.name, cell.shots, task, metric,
                    )  # fmt: skip
                    numbers[place][name][cell.run] = value
    # An object without masks has no segmentation at all: the mean over the others must say so.
    everything = defaultdict(set)
    for cell in cells:
        everything[_row_key(cell, cell.pretraining.name)] |= {(name, cell.run) for name in cell.objects}
    for place, values in numbers.items():
        for name, run in everything[_row_key(place, place.pretraining)]:
            values[name].setdefault(run, None)
    return numbers


def _row_key(of: Cell | _Place, pretraining: str) -> tuple:
    profile = of.shown_profile if isinstance(of, Cell) else of.profile
    return of.dataset, of.setup, of.detector, profile, pretraining, of.shots


def _scores(cells: list[Cell]) -> dict[tuple, Scores]:
    """Row key -> image scores of every object whose images are classified."""
    scores: dict[tuple, Scores] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        for name, result in cell.objects.items():
            if result.classification is not None:
                row_key = _row_key(cell, cell.pretraining.name)
                scores[row_key][name][cell.run] = result.image_scores
    return scores


def _base(mine: Pretraining, names: dict[str, Pretraining]) -> str | None:
    """The name of the same method and backbone without SPD, None for a row that is itself without."""
    if mine.spd == "none":
        return None
    for name, p in names.items():
        if (p.method, p.backbone, p.spd) == (mine.method, mine.backbone, "none"):
            return name
    return None


def _image_effects(ours: Scores, theirs: Scores) -> dict[str, ImageEffects]:
    """Effects by metric with test images redrawn; empty where a score is missing or runs differ in images."""
    runs = _shared_runs(ours, theirs)
    pairs = {}
    for name in (name for name in ours if name in theirs):
        labels = set()
        for run in runs:
            mine, base = ours[name].get(run), theirs[name].get(run)
            if mine is None or base is None:
                return {}
            if mine.anomalous != base.anomalous:
                raise ValueError(f"object {name}: without and with SPD were scored on different test images")
            labels.add(tuple(mine.anomalous))
            pairs[*run, name] = PairedScores(
                np.array(mine.anomalous), np.array(base.scores), np.array(mine.scores)
            )
        if len(labels) > 1:
            return {}
        if len({*labels.pop()}) < 2:  # of one class only: left out of the mean
            for run in runs:
                del pairs[*run, name]
    return bootstrap_image_effects(pairs) if pairs else {}


def _shared_runs(ours: dict[str, dict[Run, object]], theirs: dict[str, dict[Run, object]]) -> list[Run]:
    return sorted(set().union(*ours.values()) & set().union(*theirs.values()))


def _summaries(
    values: Values, base: Values | None, images: ImageEffects | None, intervals: bool
) -> Iterator[tuple[str, dict]]:
    for name in sorted(values):
        effect = images.objects.get(name) if images else None
        yield name, _summary({name: values[name]}, base, effect, intervals)
    yield MEAN, _summary(values, base, images.mean if images else None, intervals)


def _summary(values: Values, base: Values | None, images: Effect | None, intervals: bool) -> dict:
    """The columns `value` ... `delta_ci_high` and `note` of one object, or of the mean over several."""
    grid = _grid(values, sorted(set().union(*values.values())))
    summary = summarise(grid)
    columns = {"value": _percent(summary.value), "std": _percent(summary.std), "n": summary.n}
    if intervals:
        # An effect against zero: the same resampling gives the interval of the value itself.
        interval = paired_effect(grid, dict.fromkeys(grid, 0.0))
        columns |= {"ci_low": _percent(interval.ci_low), "ci_high": _percent(interval.ci_high)}
    notes = []
    if len(values) > 1 and summary.missing:
        notes.append(
            f"Mean over {len(values) - len(summary.missing)} of {len(values)} objects; "
            f"undefined: {', '.join(summary.missing)}."
        )
    elif len(values) == 1 and summary.missing:
        (runs,) = values.values()
        known = sum(value is not None for value in runs.values())
        notes += [f"Undefined in {len(runs) - known} of {len(runs)} runs."] if known else []
    effect = _paired(values, base, intervals) if base else None
    if effect is not None:
        # Of the same mean, the interval that redraws more.
        interval = images if images is not None and effect.value is not None else effect
        columns |= {
            "delta": _percent(effect.value),
            "delta_ci_low": _percent(interval.ci_low),
            "delta_ci_high": _percent(interval.ci_high),
        }
        if interval.ci_low is not None:
            notes.append(f"{_REDRAWS} {', '.join(interval.resampled)}.")
    return columns | {"note": " ".join(notes)}


_REDRAWS = "The effect's interval redraws"


def resampled(note: str) -> str:
    """What the interval of the effect redraws according to a row's note; empty where there is none."""
    found = re.search(rf"{_REDRAWS} ([a-z, ]+)\.", note)
    return found[1] if found else ""


def _paired(values: Values, base: Values, intervals: bool) -> Effect | None:
    # Pairs exist for the runs and objects that both sides have.
    objects = [name for name in values if name in base]
    ours, theirs = ({name: side[name] for name in objects} for side in (values, base))
    runs = _shared_runs(ours, theirs)
    if not runs:
        return None
    effect = paired_effect(_grid(ours, runs), _grid(theirs, runs), resamples=10_000 if intervals else 1)
    return effect if intervals else effect._replace(ci_low=None, ci_high=None)


def _grid(values: Values, runs: Iterable[Run]) -> dict[tuple[int, int, str], float | None]:
    return {(*run, name): values[name].get(run) for run in runs for name in values}


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else percent(fraction)


def _published(place: _Place, pretraining: Pretraining, published: dict[Key, Published]) -> Published | None:
    if place.profile != "paper":
        return None
    return published.get(
        Key(
            place.dataset, place.setup, place.detector, pretraining.method,
            pretraining.spd, pretraining.backbone, place.shots, place.task, place.metric,
        )
    )  # fmt: skip


def _published_delta(value: float | None, quoted: Published | None) -> float | None:
    if value is None or quoted is None or not quoted.comparable:
        return None
    return round(value - quoted.value, 12)
