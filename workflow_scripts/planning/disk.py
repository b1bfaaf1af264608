"""Disk that an experiment takes, computed from its configuration before anything runs.

    python -m workflow_scripts.planning.disk --preset paper [--config config.yaml]

prints the bytes of each stage and the peak. Image counts are the publications' own (`spd/facts`).
"""

import argparse
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from spd.config.model import Config, load
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import read
from spd.data.overview import stated_counts

IMAGENET = 1_281_167
"""Training images of ImageNet-1k."""
IMAGENET_VALIDATION = 50_000
"""Its validation images, which pre-trainings are judged on where they are there."""


class Images(NamedTuple):
    """Images of one object in one setup."""

    train: int
    test: int
    masks: bool = True
    """Whether the object's anomalies have masks."""


Counts = Callable[[str, str], Mapping[str, Images]]
"""(data set, setup) -> images by object; raises ValueError where nothing is known of it."""


class Disk(NamedTuple):
    """Bytes. `kept` stays; `features` is all of them, `largest_features` one job's file."""

    kept: dict[str, int]
    features: int
    largest_features: int
    keep_features: bool

    def peak(self, jobs: int | None = 1) -> int:
        """Most bytes at once: what is kept and the features of `jobs` running jobs, or all where they are
        kept or `jobs` is None."""
        every = self.keep_features or jobs is None
        features = self.features if every else min(self.features, jobs * self.largest_features)
        return sum(self.kept.values()) + features


def cache_bytes(images: Images, geometry: GeometryOptions) -> int:
    """Pixels of one object's image cache, and of its masks: uint8, without the file's header."""
    height, width = _size(geometry)
    return (images.train + images.test) * height * width * (3 + images.masks)


def feature_bytes(
    images: Images, architecture: str, stages: tuple[str, ...], geometry: GeometryOptions
) -> int:
    """Stage maps of one object in float32, without the file's header."""
    shapes = stage_shapes(architecture, tuple(stages), _size(geometry)).values()
    return (images.train + images.test) * 4 * sum(math.prod(shape) for shape in shapes)


def map_bytes(images: Images, geometry: GeometryOptions) -> int:
    """float16 anomaly maps and float32 scores of one object's test images, without what a fit drew."""
    height, width = _size(geometry)
    return images.test * (2 * height * width + 4)


def disk(experiment: Config, counts: Counts) -> Disk:
    """What the tables of `experiment` need; see `Disk`. Trainings' checkpoints (two networks each, removed
    by the job that succeeds), pictures and the MLflow store are not counted: less than a GiB.

    A file is counted once, however many tables read it. Raises ValueError for a data set that `counts`
    does not know, and for a geometry without a fixed size.
    """
    caches: dict[tuple, int] = {}
    features: dict[tuple, int] = {}
    maps: dict[tuple, int] = {}
    backbones: dict[tuple, int] = {}
    largest = 0
    for table in experiment.tables.values():
        for dataset in table.datasets:
            objects = counts(dataset, table.setup)
            for detector in experiment.detectors_of(table):
                for profile in table.profiles:
                    name = experiment.detectors[detector][profile].geometry
                    geometry = experiment.geometries[name]
                    place = (dataset, table.setup, name)
                    caches[place] = sum(cache_bytes(images, geometry) for images in objects.values())
                    for row in table.rows:
                        architecture, stages = network(experiment, row)
                        for seed in experiment.pretrainings[row].seeds:
                            backbones[row, seed] = parameter_bytes(architecture)
                            if table.setup != "1cls":
                                continue
                            files = [
                                feature_bytes(images, architecture, stages, geometry)
                                for images in objects.values()
                            ]
                            features[(*place, row, seed)] = sum(files)
                            one = experiment.compute.objects_per_job == "one"
                            largest = max(largest, max(files) if one else sum(files))
                            maps[(*place, detector, profile, row, seed)] = sum(
                                map_bytes(images, geometry) for images in objects.values()
                            )
    archives = {
        name: entry.archive.bytes
        for name, entry in experiment.datasets.items()
        if entry.archive is not None and entry.archive.bytes and _used(experiment, name)
    }
    kept = {
        "archives": sum(archives.values()),
        "unpacked (about the archives' size)": sum(archives.values()),
        "packed corpus (ImageNet)": (IMAGENET + IMAGENET_VALIDATION) * 3 * experiment.corpus.size**2,
        "image caches": sum(caches.values()),
        "backbones": sum(backbones.values()),
        "anomaly maps": sum(maps.values()),
    }
    return Disk(kept, sum(features.values()), largest, experiment.compute.keep_features)


def published(experiment: Config) -> Counts:
    """Counts as the data sets' publications state them, for the objects in use."""

    def counts(dataset: str, setup: str) -> dict[str, Images]:
        entry = experiment.datasets[dataset]
        if entry.facts is None:
            raise ValueError(
                f"datasets.{dataset}: `facts` names no published counts, so its images cannot be counted "
                "before they are there; plan a preset whose data sets have them (paper)"
            )
        table = stated_counts(entry.facts, setup).set_index("object")
        return {
            name: Images(
                int(row["train_normal"] + row["train_anomaly"]), int(row["test_normal"] + row["test_anomaly"])
            )
            for name, row in table.iterrows()
            if entry.objects is None or name in entry.objects
        }

    return lru_cache(counts)


def counted(folder: Path, otherwise: Counts) -> Counts:
    """Counts of the manifests <folder>/<data set>/<setup>.csv, and of `otherwise` for those not yet made."""

    def counts(dataset: str, setup: str) -> Mapping[str, Images]:
        path = folder / dataset / f"{setup}.csv"
        if not path.exists():
            return otherwise(dataset, setup)
        manifest = read(path)
        masked = set(manifest.rows.loc[manifest.rows["mask"] != "", "object"])
        return {
            row.object: Images(
                row.train_normal + row.train_anomaly, row.test_normal + row.test_anomaly, row.object in masked
            )
            for row in manifest.counts().itertuples(index=False)
        }

    return lru_cache(counts)


def _size(geometry: GeometryOptions) -> tuple[int, int]:
    if geometry.crop is None and geometry.mode == "short":
        raise ValueError("a geometry with mode `short` and no crop has no size of its own")
    side = geometry.crop or geometry.resize
    return side, side


def network(experiment: Config, row: str) -> tuple[str, tuple[str, ...]]:
    """Architecture of a pre-training, and the stages that detectors read of it."""
    pretraining = experiment.pretrainings[row]
    if pretraining.source is not None:
        return pretraining.source.architecture, tuple(pretraining.source.stages)
    backbone = experiment.backbones[pretraining.backbone]
    return backbone.architecture, tuple(backbone.stages)


def _used(experiment: Config, dataset: str) -> bool:
    used = {experiment.corpus.dataset, *experiment.dataset_overview.datasets}
    return dataset in used or any(dataset in table.datasets for table in experiment.tables.values())


@lru_cache
def stage_shapes(
    architecture: str, stages: tuple[str, ...], size: tuple[int, int]
) -> dict[str, tuple[int, int, int]]:
    """Stage -> (C, h, w) of one image's maps, shallow to deep, by running the network without numbers."""
    import torch  # here and below: what asks for files alone starts without it

    from spd.backbones.architectures import build
    from spd.backbones.stages import StageNetwork

    with torch.device("meta"), torch.inference_mode():
        staged = StageNetwork(build(architecture), stages, image_size=size).eval()
        return {name: tuple(maps.shape[1:]) for name, maps in staged(torch.empty(1, 3, *size)).items()}


@lru_cache
def parameter_bytes(architecture: str) -> int:
    """Bytes of a backbone's tensors."""
    import torch

    from spd.backbones.architectures import build

    with torch.device("meta"):
        state = build(architecture).state_dict()
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def table(found: Disk) -> str:
    """Markdown: a row per stage in GiB, then the peak with one running detector job and with all features."""
    rows = [
        *found.kept.items(),
        ("features, all of them", found.features),
        ("features, the largest job's", found.largest_features),
    ]
    if found.keep_features:
        rows.append(("**peak** (features are kept)", found.peak()))
    else:
        rows += [
            (f"**peak** with the features of {jobs} job{'s' * (jobs > 1)} at once", found.peak(jobs))
            for jobs in (1, 16)
        ]
        rows.append(("**peak** at worst, all features at once", found.peak(None)))
    return "\n".join(
        ["| | GiB |", "|---|---|", *(f"| {name} | {size / 2**30:,.1f} |" for name, size in rows)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--preset", default="paper")
    arguments = parser.parse_args()
    experiment = load(arguments.config, {"preset": arguments.preset})
    try:
        print(table(disk(experiment, published(experiment))))
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
