"""The design of the experiment: which backbones and cells its tables ask for, and where each lies.

Rules, run records, the plan, MLflow and tables all ask here; nobody else multiplies rows, seeds, data sets,
profiles and objects, and nobody takes a path apart. Paths are relative to results/<preset>/. The templates
are Snakemake's patterns as they stand. Touches no file and imports no torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote

from spd.config.model import Config
from spd.detectors.finetuned.runs import Run, runs
from spd.report.options import TableOptions

BACKBONE = "backbones/{pretraining}/seed{seed}.safetensors"
HISTORY = "backbones/{pretraining}/seed{seed}.history.jsonl"
BACKBONE_RECORD = "records/backbones/{pretraining}-seed{seed}.json"
TRAINING = "backbones/{pretraining}/{hash}/seed{seed}.json"
LINEAR = "linear/{pretraining}-seed{seed}.json"

EXAMINED = "examined/{dataset}.safetensors"
MANIFEST = "manifests/{dataset}/{setup}.csv"
SIDECAR = "manifests/{dataset}/{setup}.json"
MANIFEST_RECORD = "records/manifests/{dataset}-{setup}.json"

IMAGES = "images/{dataset}/{setup}/{geometry}/{part}.safetensors"
FEATURES = "features/{dataset}/{setup}/{geometry}/{part}/{pretraining}-seed{seed}.safetensors"
CELL = "cells/{dataset}/{setup}/{detector}-{profile}/{part}/{pretraining}-seed{seed}.json"
RUN = "cells/{dataset}/{setup}/{detector}-{profile}/{part}/{pretraining}-seed{seed}/{run}.json"
MAPS = "maps/{dataset}/{setup}/{detector}-{profile}/{part}/{pretraining}-seed{seed}.safetensors"

# A job's name in logs, benchmarks and records: the stages that have more than one job for each data set.
IMAGES_JOB = "{dataset}-{setup}-{geometry}-{part}"
FEATURES_JOB = "{dataset}-{setup}-{geometry}-{part}-{pretraining}-seed{seed}"
CELL_JOB = "{dataset}-{setup}-{detector}-{profile}-{part}-{pretraining}-seed{seed}"

ONE_CLASS = "1cls"


class Backbone(NamedTuple):
    """The network of one row of the tables, by one seed."""

    pretraining: str
    seed: int

    @property
    def path(self) -> str:
        """Its weights."""
        return BACKBONE.format(**self._asdict())

    @property
    def history(self) -> str:
        """The curves of its training, if it is trained here."""
        return HISTORY.format(**self._asdict())

    @property
    def record(self) -> str:
        return BACKBONE_RECORD.format(**self._asdict())

    @property
    def linear(self) -> str:
        """Its result by the linear protocol."""
        return LINEAR.format(**self._asdict())


@dataclass(frozen=True)
class Cell:
    """One result: a detector by one profile, on one backbone, on one part of a data set."""

    pretraining: str
    seed: int
    dataset: str
    """The key in config.yaml, as for every name here."""
    setup: str
    detector: str
    profile: str
    geometry: str
    """The profile's."""
    part: str
    """`all` objects of the data set, or one by its quoted name."""
    run: str | None = None
    """Of a 2-class cell: `all`, or a draw such as `5shot-draw0`."""

    def _at(self, template: str) -> str:
        return template.format(**vars(self))

    @property
    def two_class(self) -> bool:
        """Whether the network is fine-tuned; else its features are read as they are."""
        return self.setup != ONE_CLASS

    @property
    def path(self) -> str:
        return self._at(CELL if self.run is None else RUN)

    @property
    def stage(self) -> str:
        """`detect` or `finetune`: what makes it."""
        return "finetune" if self.two_class else "detect"

    @property
    def job(self) -> str:
        """Name of the job that makes it; one job makes all runs of a 2-class detector."""
        return self._at(CELL_JOB)

    @property
    def maps(self) -> str:
        """Anomaly maps and scores of a 1-class cell."""
        return self._at(MAPS)

    @property
    def manifest(self) -> str:
        return self._at(MANIFEST)

    @property
    def images(self) -> str:
        """The image cache that it reads."""
        return self._at(IMAGES)

    @property
    def images_job(self) -> str:
        return self._at(IMAGES_JOB)

    @property
    def features(self) -> str:
        """The features that a 1-class cell reads."""
        return self._at(FEATURES)

    @property
    def features_job(self) -> str:
        return self._at(FEATURES_JOB)

    @property
    def backbone(self) -> Backbone:
        return Backbone(self.pretraining, self.seed)


class Design:
    """Everything that the tables of a configuration ask for.

    Orders are those of the tables and of config.yaml: runs appear in MLflow, and rows in tables, as they come
    here.
    """

    def __init__(self, experiment: Config) -> None:
        self.experiment = experiment

    # --- backbones -----------------------------------------------------------------------------------

    def trains(self, pretraining: str) -> bool:
        """Whether a pre-training is trained here; else its weights come from elsewhere."""
        return self.experiment.pretrainings[pretraining].recipe is not None

    @cached_property
    def pretrainings(self) -> list[str]:
        """Every pre-training that a table reads, in config's order."""
        used = {row for table in self.experiment.tables.values() for row in table.rows}
        return [name for name in self.experiment.pretrainings if name in used]

    @cached_property
    def evaluated(self) -> list[Backbone]:
        """The backbones of the tables' rows."""
        seeds = {name: self.experiment.pretrainings[name].seeds for name in self.pretrainings}
        return [Backbone(name, seed) for name in seeds for seed in seeds[name]]

    @cached_property
    def backbones(self) -> list[Backbone]:
        """The backbones of the tables' rows, then those that they start from."""
        needed = list(self.evaluated)
        for backbone in needed:  # grows as it goes
            needed += [start for start in self.start_of(*backbone) if start not in needed]
        return needed

    def start_of(self, pretraining: str, seed: int) -> list[Backbone]:
        """What a continued pre-training starts from: its own seed where there is one; empty from scratch."""
        start = self.experiment.pretrainings[pretraining].init
        if start is None:
            return []
        seeds = self.experiment.pretrainings[start].seeds
        return [Backbone(start, seed if seed in seeds else seeds[0])]

    @cached_property
    def trained(self) -> list[str]:
        """Every pre-training that is trained here, once, whatever the number of its seeds."""
        return list(dict.fromkeys(name for name, _ in self.backbones if self.trains(name)))

    # --- data sets -----------------------------------------------------------------------------------

    @cached_property
    def datasets(self) -> list[str]:
        """Every data set that a table, the overview or a pre-training reads, in config's order."""
        used = {dataset for dataset, _ in self.manifests}
        return [name for name in self.experiment.datasets if name in used]

    @cached_property
    def manifests(self) -> list[tuple[str, str]]:
        """(data set, setup) of each manifest: the overview's, the tables', then that of the corpus."""
        experiment = self.experiment
        overview = experiment.dataset_overview.datasets
        read = [(name, setup) for name in overview for setup in experiment.datasets[name].setups]
        read += [(name, table.setup) for table in experiment.tables.values() for name in table.datasets]
        read += [(experiment.corpus.dataset, ONE_CLASS)] if self.trained else []
        return list(dict.fromkeys(read))

    def generated(self, datasets: Iterable[str]) -> list[str]:
        """What those of these data sets are called whose images this project draws itself."""
        entries = [self.experiment.datasets[name] for name in datasets]
        return [entry.name for entry in entries if entry.archive is not None and entry.archive.generated]

    def parts(self, dataset: str) -> list[str]:
        """What one detector job handles: `all` objects, or one object a job, by its quoted name."""
        objects = self.experiment.datasets[dataset].objects
        if self.experiment.compute.objects_per_job == "all" or objects is None:
            return ["all"]
        return [quote(name, safe="") for name in objects]

    # --- cells ---------------------------------------------------------------------------------------

    def cells(self, table: str | None = None) -> list[Cell]:
        """The cells of a table, in its rows' order; of all tables, each cell once, where none is named."""
        if table is not None:
            return self._cells_by_table[table]
        return list(dict.fromkeys(chain.from_iterable(self._cells_by_table.values())))

    @cached_property
    def _cells_by_table(self) -> dict[str, list[Cell]]:
        return {name: self._product(table) for name, table in self.experiment.tables.items()}

    def _product(self, table: TableOptions) -> list[Cell]:
        return [
            Cell(row, seed, dataset, table.setup, detector, profile, geometry, part, run)
            for row in table.rows
            for seed in self.experiment.pretrainings[row].seeds
            for profile in table.profiles
            for detector in self.experiment.detectors_of(table)
            for geometry in [self.experiment.profile(detector, profile).geometry]
            for dataset in table.datasets
            for part in self.parts(dataset)
            for run in self.runs(table.setup)
        ]

    def runs(self, setup: str) -> list[str | None]:
        """Names of the runs that one job makes of each object; of a 1-class setup one without a name."""
        if setup == "2cls_fewshot":
            return [str(run) for run in runs(self.experiment.fewshot.shots, self.experiment.fewshot.draws)]
        return [None if setup == ONE_CLASS else str(Run())]

    def cell(
        self, *, dataset: str, setup: str, detector: str, profile: str, part: str, pretraining: str, seed: int
    ) -> Cell:
        """The cell of a job by the job's wildcards; of a 2-class job, whose cells are many, without a run."""
        geometry = self.experiment.profile(detector, profile).geometry
        return Cell(pretraining, int(seed), dataset, setup, detector, profile, geometry, part)

    @cached_property
    def pictured(self) -> list[Cell]:
        """The 1-class cells of each row's first seed: what pictures are made of."""
        rows = self.experiment.pretrainings
        return [
            cell
            for cell in self.cells()
            if not cell.two_class and cell.seed == rows[cell.pretraining].seeds[0]
        ]
