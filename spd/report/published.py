"""Published numbers (the poster's, and second-hand ones of the paper), looked up cell by cell."""

import csv
import functools
import importlib.resources
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# How the published files name what the cells name otherwise.
_DETECTORS = {"binary-ResNet": "classifier"}
_SPD = {"spd_eta0.1": "spd"}  # 0.1 is the default eta
_SHOTS = {"full": None, "high": None}

SWAPPED_NOTE = (
    "The poster's AU-PR and AU-ROC columns for MVTec-AD image classification with PatchCore are almost "
    "certainly swapped (official PatchCore reports AU-ROC 99.2; every other MVTec-AD row of the poster has "
    "AU-PR above AU-ROC). The value is given as printed and no difference is taken."
)


@dataclass(frozen=True)
class Key:
    """What a published number is of; `shots` is None outside few-shot."""

    dataset: str
    setup: str
    detector: str
    method: str
    spd: str
    backbone: str
    shots: int | None
    task: str
    metric: str


@dataclass(frozen=True)
class Published:
    """A published number in per cent, its source, and a note where it must not be compared blindly."""

    value: float
    source: str
    note: str = ""

    @property
    def comparable(self) -> bool:
        """False for the swapped cells."""
        return not self.note


def published_values(stems: Iterable[str]) -> dict[Key, Published]:
    """The values of the files `spd/facts/published/<stem>.csv`, earlier files first.

    Differences that a file lists beside its values (metrics ending in `_delta`) are left out.
    """
    values: dict[Key, Published] = {}
    for stem in stems:
        for key, number, source in read_published(stem):
            if not key.metric.endswith("_delta"):
                note = SWAPPED_NOTE if is_swapped(key) else ""
                values.setdefault(key, Published(number, source, note))
    return values


def is_swapped(key: Key) -> bool:
    """Whether the poster prints this cell under the wrong heading, as far as anyone can tell."""
    return (
        key.dataset == "MVTec-AD"
        and key.detector == "PatchCore"
        and key.task == "classification"
        and key.metric.removesuffix("_delta") in ("AU-PR", "AU-ROC")
    )


def read_published(stem: str) -> Iterator[tuple[Key, float, str]]:
    """Rows of one file as (key, number, source), in the file's order. ValueError for an unknown stem."""
    for row in _rows(stem):
        setup, _, detector = row["setup"].partition("/")
        shots = row["shots"]
        key = Key(
            row["dataset"],
            setup,
            _DETECTORS.get(detector, detector),
            row["method"],
            _SPD.get(row["spd"], row["spd"]),
            row["backbone"],
            _SHOTS[shots] if shots in _SHOTS else int(shots),
            row["task"],
            row["metric"],
        )
        yield key, float(row["value"]), row["source"]


@functools.cache
def _rows(stem: str) -> tuple[dict[str, str], ...]:
    folder = importlib.resources.files("spd.facts") / "published"
    file = folder / f"{stem}.csv"
    if not file.is_file():
        known = ", ".join(
            sorted(f.name.removesuffix(".csv") for f in folder.iterdir() if f.name.endswith(".csv"))
        )
        raise ValueError(f"no published numbers named {stem!r}; there are: {known}")
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(csv.DictReader(lines))
