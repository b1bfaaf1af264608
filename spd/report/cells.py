"""The input of a table: cells, one JSON file per run of a detector on (a part of) a data set."""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spd.detectors import profiles
from spd.files import read_json
from spd.report.names import Names
from spd.report.options import Setup

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Task = Literal["classification", "segmentation"]
TASK_OF = {"classifier": "classification", "U-Net": "segmentation"}
"""What a detector of the two-class setups is trained for: it is scored on nothing else."""
KEYS = {"PaDiM": "padim", "PatchCore": "patchcore", "classifier": "classifier", "U-Net": "unet"}
"""Detectors' names under `detectors` in config.yaml."""
NAMED = 3
"""Options that a profile's cell names one by one."""


class _Read(BaseModel):
    # A later version of a stage may say more; what is read here must be there and be right.
    model_config = ConfigDict(extra="ignore", frozen=True)


class TaskResult(_Read):
    """Metrics of one task as fractions; None where a metric is not defined, and `note` says why."""

    au_pr: Fraction | None = Field(None, alias="AU-PR")
    au_roc: Fraction | None = Field(None, alias="AU-ROC")
    ap: Fraction | None = Field(None, alias="AP")
    f1_max: Fraction | None = Field(None, alias="F1-max")
    au_pro: Fraction | None = Field(None, alias="AU-PRO")
    note: str | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics that the file names, by their contract names."""
        fields = type(self).model_fields
        return {
            fields[f].alias: getattr(self, f) for f in fields if f in self.model_fields_set and f != "note"
        }


class Pretraining(_Read):
    """Which weights the detector stood on."""

    name: str = Field(min_length=1)
    """The key in config.yaml."""
    method: str = Field(min_length=1)
    """The name shown: the tables' method column."""
    spd: str = Field(min_length=1)
    """`none`, or the variant of SPD."""
    backbone: str
    labels: bool | None
    """Whether ImageNet labels were used; None where nobody knows."""
    seed: int


class ImageScores(_Read):
    """One score a test image, in the order of the manifest: what intervals redraw."""

    anomalous: list[bool]
    scores: list[Finite]

    @model_validator(mode="after")
    def _one_score_an_image(self) -> "ImageScores":
        if len(self.anomalous) != len(self.scores):
            raise ValueError(f"{len(self.scores)} scores for {len(self.anomalous)} images")
        return self


class ObjectResult(_Read):
    """Metrics of one object; a task is None where it is not scored (no masks, another detector)."""

    scored: bool = True
    """False for an object that had too few images: nothing of it is measured, and there are no maps."""
    n_train: int = Field(ge=0)
    n_test_normal: int = Field(ge=0)
    n_test_anomaly: int = Field(ge=0)
    classification: TaskResult | None
    segmentation: TaskResult | None
    image_scores: ImageScores | None = None
    """None where they were not kept: intervals then redraw no images."""
    by_defect: dict[str, TaskResult] = {}
    """Image metrics by defect type: its anomalies against all normal images."""
    by_defect_segmentation: dict[str, TaskResult] = {}
    """Pixel metrics by defect type, over its images and all normal ones."""
    notes: list[str] = []
    """What the detector had to say of its fit."""


class Provenance(BaseModel):
    """Where the numbers came from; keys beyond these are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    preset: str
    code: str
    spd_version: str
    commit: str | None = None
    commit_date: str | None = None
    split_hash: str
    data_fingerprint: str
    checkpoint: str | None = None
    geometry: dict[str, Any] = {}
    options: dict[str, Any] = {}
    """The detector's; empty in cells of before they were kept."""
    metric: str = ""
    run_key: str = ""


class Cell(_Read):
    """One run of a detector on a data set, or on some of its objects."""

    schema_version: Literal[1] = Field(alias="schema")
    dataset: str = Field(min_length=1)
    setup: Setup
    detector: Literal["PaDiM", "PatchCore", "classifier", "U-Net"]
    task: Task | None = None
    """What a two-class run was trained for; None for a 1-class detector, which is scored on both."""
    profile: str = Field(min_length=1)
    pretraining: Pretraining
    shots: Annotated[int, Field(ge=1)] | None = Field(validation_alias=AliasChoices("shots", "k"))
    """k: normal and anomalous training images in a few-shot setup, None otherwise. `k` is read, too."""
    draw: Annotated[int, Field(ge=0)] | None
    """Which few-shot draw; None where there are no draws."""
    objects: dict[str, ObjectResult] = Field(min_length=1)
    provenance: Provenance

    @model_validator(mode="after")
    def _fits_its_setup(self) -> "Cell":
        one_class = self.setup == "1cls"
        if one_class == (self.detector in TASK_OF):
            raise ValueError(f"detector {self.detector} does not belong to setup {self.setup}")
        if self.task not in (None, TASK_OF.get(self.detector)):
            raise ValueError(f"a {self.detector} is not trained for {self.task}")
        few = self.setup == "2cls_fewshot"
        if (self.shots is not None) != few or (few and self.draw is None):
            raise ValueError("a few-shot cell gives `shots` and `draw`, and no other cell has `shots`")
        return self

    @property
    def run(self) -> tuple[int, int]:
        """What distinguishes repetitions: the pre-training's seed and the few-shot draw (-1: no draws)."""
        return self.pretraining.seed, -1 if self.draw is None else self.draw

    @functools.cached_property
    def overlay(self) -> dict[str, tuple[Any, Any]]:
        """What was laid over a profile that the library names: key -> (value used, the profile's own)."""
        options = self.provenance.options
        if not options:
            return {}
        return profiles.overlay(KEYS.get(self.detector, ""), self.profile, options, self.provenance.geometry)

    @property
    def shown_profile(self) -> str:
        """The profile as tables show it: `anomalib`, or `anomalib (dim 100)` where something was laid
        over it."""
        if not self.overlay:
            return self.profile
        words = [f"{key} {word(used)}" for key, (used, _) in self.overlay.items()]
        more = [f"{len(words) - NAMED} more"] if len(words) > NAMED else []
        return f"{self.profile} ({', '.join([*words[:NAMED], *more])})"

    @property
    def identity(self) -> tuple:
        """Two cells of one table must differ in this."""
        return (
            self.dataset,
            self.setup,
            self.detector,
            self.profile,
            self.pretraining.name,
            self.shots,
            self.run,
        )


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
        try:
            cell = Cell.model_validate(names.in_cell(read_json(path)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ValueError(
                f"{path}: {where}: {first['msg']} (found {first['input']!r:.80}); "
                "delete the file and run the workflow again"
            ) from None
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
