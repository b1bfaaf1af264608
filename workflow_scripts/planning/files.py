"""Images that a job handles, and bytes of the large files that are known without a network.

Imports no torch: it is asked before every run (rules/preflight.smk).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from spd.config.model import Config
from spd.data.geometry import final_size
from spd.data.manifest import read
from spd.data.options import located
from spd.data.overview import stated_counts
from workflow_scripts.planning.rates import IMAGENET, IMAGENET_VALIDATION

PHOTOGRAPH = (1000, 1500)
"""Height and width of VisA's images: what a geometry without a size of its own is taken to resize."""


class Images(NamedTuple):
    """Images of one object in one setup, and whether its anomalies have masks."""

    train: int
    test: int
    masks: bool = True


@dataclass
class Files:
    """What the jobs of one experiment read and leave. `at`: a job's wildcards, as the rules name them."""

    experiment: Config
    manifests: Path
    """Folder of those that are made already; before that, the publications' counts are taken."""
    unknown: set[str] = field(default_factory=set)
    """Data sets whose images nobody can count yet."""
    _counts: dict[tuple[str, str], dict[str, Images]] = field(default_factory=dict, repr=False)

    def bytes_of(self, stage: str, at: Mapping[str, str]) -> int:
        """Of an archive, the corpus, an image cache or a cell's maps; 0 for other stages, which leave
        small or temporary files."""
        if stage == "download":
            return self._archive(at["archive"])
        if stage == "unpack":  # about the archive's size
            data = self.experiment.datasets.get(Path(at["folder"]).name)
            return self._archive(data.archive.file) if data and data.archive else 0
        if stage == "corpus":
            return sum(self.corpus()[:2]) * 3 * self.experiment.corpus.size**2
        if stage == "images":  # pixels and masks, uint8
            return sum(
                (one.train + one.test) * self._pixels(at) * (3 + one.masks) for one in self.images(**at)
            )
        if stage == "detect":  # float16 maps and float32 scores
            return sum(one.test * (2 * self._pixels(at) + 4) for one in self.images(**at))
        return 0

    def size(self, at: Mapping[str, str]) -> tuple[int, int]:
        """(height, width) of a job's images, by the geometry that it names or its detector's profile does."""
        name = at.get("geometry") or self.experiment.profile(at["detector"], at["profile"]).geometry
        return final_size(*PHOTOGRAPH, self.experiment.geometries[name])

    def images(self, dataset: str, setup: str, part: str = "all", **_: str) -> list[Images]:
        """Of each object that one job handles; none, and a note, where nothing is known of them."""
        try:
            objects = self.counts(dataset, setup)
        except ValueError:
            self.unknown.add(dataset)
            return []
        return [images for name, images in objects.items() if part == "all" or name == unquote(part)]

    def corpus(self) -> Images:
        """Of its manifest, of what will be generated, or ImageNet's."""
        name, demo = self.experiment.corpus.dataset, self.experiment.demo_data
        archive = self.experiment.datasets[name].archive
        try:
            classes = self.counts(name, "1cls").values()
        except ValueError:
            if archive is not None and archive.generated:
                return Images(demo.classes * demo.images_per_class, 0)
            return Images(IMAGENET, IMAGENET_VALIDATION if archive is None else 0)
        return Images(sum(one.train for one in classes), sum(one.test for one in classes))

    def counts(self, dataset: str, setup: str) -> dict[str, Images]:
        """Images by object. Raises ValueError where nothing is known of them."""
        if (dataset, setup) not in self._counts:
            path, entry = self.manifests / dataset / f"{setup}.csv", self.experiment.datasets[dataset]
            masked = None
            if path.exists():
                manifest = read(path)
                table = manifest.counts()
                masked = set(manifest.rows.loc[manifest.rows["mask"] != "", "object"])
            elif entry.facts is None:
                raise ValueError(
                    f"datasets.{dataset}: no manifest yet, and `facts` names no published counts"
                )
            else:
                table = stated_counts(entry.facts, setup)
                table = table[table["object"].isin(entry.objects or table["object"])]
            self._counts[dataset, setup] = {
                row.object: Images(
                    int(row.train_normal + row.train_anomaly),
                    int(row.test_normal + row.test_anomaly),
                    masked is None or row.object in masked,
                )
                for row in table.itertuples()
            }
        return self._counts[dataset, setup]

    def _pixels(self, at: Mapping[str, str]) -> int:
        return math.prod(self.size(at))

    def _archive(self, file: str) -> int:
        entries = [data.archive for data in self.experiment.datasets.values() if data.archive is not None]
        entries += self.experiment.weights.values()
        return next((entry.bytes or 0 for entry in entries if located(entry.file) == located(file)), 0)
