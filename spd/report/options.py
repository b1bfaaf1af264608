"""What a user may say of a table in config.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from spd.detectors.registry import DETECTORS, TWO_CLASS
from spd.options import Options

Metric = Literal["AU-PR", "AU-ROC", "AP", "F1-max", "AU-PRO"]
Setup = Literal["1cls", "2cls_highshot", "2cls_fewshot"]
PublishedFile = Literal[
    "poster_patchcore_as_printed", "poster_2cls_fewshot", "poster_ablation", "paper_values_secondary"
]


class TableOptions(Options):
    """One table: which results it holds, in which order, and what is shown next to them."""

    title: str = Field(min_length=1)
    """The heading."""
    caption: str = ""
    """One or two sentences below the heading."""
    label_columns: list[Literal["backbone", "labels"]] = Field(default=["backbone", "labels"])
    """What is shown next to a pre-training's name: its backbone, and whether it used ImageNet labels."""
    datasets: list[str] = Field(min_length=1)
    """Data sets, left to right: names under `datasets` in config.yaml; from Python, the names shown."""
    setup: Setup = "1cls"
    """The split: one class of training images (normal), or two, with many or few images."""
    detector: str | None = None
    """A name under `detectors` in config.yaml; from Python, the name shown. In a two-class setup `null`:
    classification comes from the fine-tuned classifier, segmentation from the U-Net, and the two share a
    row; or a 2-class detector of your own."""
    profiles: list[str] = Field(default=["paper"])
    """Profiles of the detectors, one block of rows each. Published values are shown next to `paper` only."""
    rows: list[str] = Field(min_length=1)
    """Names of pre-trainings, top to bottom."""
    metrics: list[Metric] = Field(default=["AU-PR", "AU-ROC"], min_length=1)
    """Metrics rendered, left to right. The CSV holds every metric there is."""
    published: list[PublishedFile] = Field(default=[])
    """Files of published numbers, the first that has a cell wins. Shown in preset `paper` only."""
    banner: str | None = None
    """Replaces the sentence that every preset but `paper` puts above its tables, which says where images are
    generated; empty for none."""

    @model_validator(mode="after")
    def _detector_fits_setup(self) -> "TableOptions":
        if self.detector is None and self.setup == "1cls":
            raise ValueError("give `detector`, a name under `detectors` such as padim, with setup 1cls")
        known = DETECTORS.entries.get(self.detector)
        if known is not None and (known.setup == "1cls") != (self.setup == "1cls"):
            raise ValueError(f"{self.detector} is no detector of setup {self.setup}")
        if not self.profiles:
            raise ValueError("give at least one of the detector's profiles")
        return self

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors by the names that results carry."""
        names = TWO_CLASS if self.detector is None else (self.detector,)
        return tuple(DETECTORS[name].label if name in DETECTORS.entries else name for name in names)
