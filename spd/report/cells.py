"""The input of a table: cells, one JSON file per run of a detector on (a part of) a data set."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spd.records import read_json
from spd.report.options import Setup

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


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
    label: str = Field(min_length=1)
    """The name shown: the tables' method column."""
    method: str = Field(min_length=1)
    spd: str = Field(min_length=1)
    """`none`, or the variant of SPD."""
    backbone: str
    labels: bool | None
    """Whether ImageNet labels were used; None where nobody knows."""
    seed: int


class ObjectResult(_Read):
    """Metrics of one object; a task is None where it is not scored (no masks, another detector)."""

    n_train: int = Field(ge=0)
    n_test_normal: int = Field(ge=0)
    n_test_anomaly: int = Field(ge=0)
    classification: TaskResult | None
    segmentation: TaskResult | None


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
    metric: str = ""
    run_key: str = ""


class Cell(_Read):
    """One run of a detector on a data set, or on some of its objects."""

    schema_version: Literal[1] = Field(alias="schema")
    dataset: str = Field(min_length=1)
    setup: Setup
    detector: Literal["PaDiM", "PatchCore", "classifier", "U-Net"]
    profile: str = Field(min_length=1)
    pretraining: Pretraining
    shots: Annotated[int, Field(ge=1)] | None
    draw: Annotated[int, Field(ge=0)] | None
    objects: dict[str, ObjectResult] = Field(min_length=1)
    provenance: Provenance

    @property
    def run(self) -> tuple[int, int]:
        """What distinguishes repetitions: the pre-training's seed and the few-shot draw (-1: no draws)."""
        return self.pretraining.seed, -1 if self.draw is None else self.draw

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


def read_cells(paths: Iterable[str | Path]) -> list[Cell]:
    """Reads and validates cell files, in the order given.

    Raises ValueError naming the file and the key for what is missing, of a wrong type or out of range,
    and for two files that hold the same object of the same run.
    """
    cells: list[Cell] = []
    seen: dict[tuple, Path] = {}  # (identity, object) -> file
    for path in map(Path, paths):
        try:
            cell = Cell.model_validate(read_json(path))
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
        cells.append(cell)
    return cells
