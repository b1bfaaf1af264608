"""A cell: what one run of a detector on (a part of) a data set leaves, as a JSON file.

The class that reads a cell writes it. A cell is its own run record
(workflow_scripts.common.records.read_runs), and holds nothing that changes between identical runs.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spd.files import read_json, write_json

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Task = Literal["classification", "segmentation"]


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
    backbone: str
    """The architecture."""
    seed: int


class ImageScores(_Read):
    """One score a test image, in the order of the manifest: what intervals redraw."""

    anomalous: list[bool]
    scores: list[Finite]

    @model_validator(mode="after")
    def _one_score_an_image(self) -> Self:
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
    train_loss: Finite | None = None
    """Mean of the last ten steps, of a detector that is trained."""
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
    """`cell/<data set>/<setup>/<detector>-<profile>/<part>/<pre-training>/seed<n>`: all draws of a few-shot
    setup are one run."""


class Cell(_Read):
    """One run of a detector on a data set, or on some of its objects."""

    schema_version: Literal[1] = Field(alias="schema")
    dataset: str = Field(min_length=1)
    setup: Literal["1cls", "2cls_highshot", "2cls_fewshot"]
    detector: str = Field(min_length=1)
    """The name that tables show."""
    task: Task | None = None
    """What a two-class run was trained for, and all that it is scored on; None for a 1-class detector, which
    is scored on both."""
    profile: str = Field(min_length=1)
    pretraining: Pretraining
    shots: Annotated[int, Field(ge=1)] | None = Field(validation_alias=AliasChoices("shots", "k"))
    """k: normal and anomalous training images in a few-shot setup, None otherwise. `k` is read, too."""
    draw: Annotated[int, Field(ge=0)] | None
    """Which few-shot draw; None where there are no draws."""
    objects: dict[str, ObjectResult] = Field(min_length=1)
    provenance: Provenance

    @model_validator(mode="after")
    def _fits_its_setup(self) -> Self:
        few = self.setup == "2cls_fewshot"
        if (self.shots is not None) != few or (few and self.draw is None):
            raise ValueError("a few-shot cell gives `shots` and `draw`, and no other cell has `shots`")
        return self

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """`parse` of a file's content."""
        return cls.parse(read_json(path), path)

    @classmethod
    def parse(cls, content: Any, path: str | Path) -> Self:
        """The cell that a file holds.

        Raises ValueError naming the file, the key and the command that makes it again for what is missing, of
        a wrong type or out of range.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ValueError(
                f"{path}: {where}: {first['msg']} (found {first['input']!r:.80}); "
                f"delete the file and run the workflow again: {_command(Path(path))}"
            ) from None

    def write(self, path: str | Path) -> None:
        """Writes the file, whole or not at all: what was given, and no defaults."""
        write_json(path, self.model_dump(mode="json", by_alias=True, exclude_unset=True))

    @property
    def detector_key(self) -> str:
        """The detector's name in config.yaml."""
        return self.provenance.run_key.split("/")[3].removesuffix(f"-{self.profile}")

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


def _command(path: Path) -> str:
    preset = f" --config preset={path.parts[1]}" if path.parts[0] == "results" and len(path.parts) > 1 else ""
    return f"snakemake --cores all {path}{preset}"
