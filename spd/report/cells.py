"""The input of a table: cells (spd.detectors.results), with the names that tables show."""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from spd.detectors import results
from spd.detectors.registry import DETECTORS
from spd.files import read_json
from spd.registry import Entry
from spd.report.names import Names

NAMED = 3
"""Options that a profile's cell names one by one."""
SAME_NUMBERS = ("solver", "search", "filter", "memory_gib")
"""Options that say how a number is computed; the number is the same to rounding."""


class Pretraining(results.Pretraining):
    """Which weights the detector stood on, as tables show it."""

    method: str = Field(min_length=1)
    """The name shown: the tables' method column."""
    spd: str = Field(min_length=1)
    """`none`, or the variant of SPD."""
    labels: bool | None
    """Whether ImageNet labels were used; None where nobody knows."""


class Cell(results.Cell):
    """A cell with the names of its data set and its pre-training in it (spd.report.names)."""

    pretraining: Pretraining

    @model_validator(mode="after")
    def _is_of_its_detector(self) -> "Cell":
        entry, one_class = self._entry, self.setup == "1cls"
        if entry is not None and (entry.setup == "1cls") != one_class:
            raise ValueError(f"detector {self.detector} does not belong to setup {self.setup}")
        if self.task and (one_class or (entry is not None and self.task not in entry.tasks)):
            raise ValueError(f"a {self.detector} is not trained for {self.task}")
        return self

    @property
    def _entry(self) -> Entry | None:
        """What is known of the detector, if it is one of the library's."""
        return next((entry for entry in DETECTORS.values() if entry.label == self.detector), None)

    @functools.cached_property
    def overlay(self) -> dict[str, tuple[Any, Any]]:
        """What was laid over a profile that the library names: option -> (value used, the profile's own).
        Empty for a profile of another name: it means what its config says."""
        entry = self._entry
        if entry is None or self.profile not in entry.profiles:
            return {}
        own = entry.options(**entry.profiles[self.profile]).model_dump(mode="json")
        used = self.provenance.options
        return {
            key: (used[key], value)
            for key, value in own.items()
            if key not in SAME_NUMBERS and used.get(key, value) != value
        }

    @property
    def shown_profile(self) -> str:
        """The profile as tables show it: `anomalib`, or `anomalib (dim 100)` where something was laid
        over it."""
        if not self.overlay:
            return self.profile
        words = [f"{key} {word(used)}" for key, (used, _) in self.overlay.items()]
        more = [f"{len(words) - NAMED} more"] if len(words) > NAMED else []
        return f"{self.profile} ({', '.join([*words[:NAMED], *more])})"


def word(value: Any) -> str:
    """A value of an option in a sentence."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def read_cells(
    paths: Iterable[str | Path],
    names: Names | None = None,
    noted: Mapping[str, Sequence[str]] | None = None,
) -> list[Cell]:
    """Reads and validates cell files, in the order given; `names` says what their keys are called, `noted`
    what was found of a backbone file (by its SHA-256) after the cells were made: it joins the notes of the
    pre-training in their provenance.

    Raises ValueError naming the file and the key for what is missing, of a wrong type or out of range,
    and for two files that hold the same object of the same run.
    """
    names = names or Names()
    cells: list[Cell] = []
    seen: dict[tuple, Path] = {}  # (identity, object) -> file
    for path in map(Path, paths):
        cell = Cell.parse(names.in_cell(read_json(path)), path)
        for name in cell.objects:
            other = seen.setdefault((cell.identity, name), path)
            if other != path:
                raise ValueError(
                    f"{path} and {other} hold the same result ({name}, {cell.pretraining.name}); "
                    "give one of them to the table"
                )
        cells.append(_with_notes(cell, (noted or {}).get(cell.provenance.checkpoint or "", ())))
    return cells


def _with_notes(cell: Cell, found: Sequence[str]) -> Cell:
    if not found:
        return cell
    before = (cell.provenance.model_extra or {}).get("pretraining_notes", [])
    more = cell.provenance.model_copy(update={"pretraining_notes": [*before, *found]})
    return cell.model_copy(update={"provenance": more})
