"""Bytes that a job of each stage leaves on the disk, and the images that it handles. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from spd.config.model import Config
from spd.data.geometry_options import GeometryOptions
from spd.data.options import located
from workflow_scripts.planning import disk
from workflow_scripts.planning.disk import IMAGENET, Counts, Images


@dataclass
class Files:
    """What the jobs of one experiment leave. Image counts that nobody knows are noted in `unknown`."""

    experiment: Config
    counts: Counts
    unknown: set[str] = field(default_factory=set)

    def kept(self, stage: str, at: Mapping[str, str]) -> int:
        """Bytes of an archive, the corpus, an image cache or a cell's maps; 0 for other stages, whose files
        are small or temporary. `at`: the job's wildcards, as the rules name them."""
        if stage == "download":
            return self.archive_bytes(at["archive"])
        if stage == "unpack":
            data = self.experiment.datasets.get(Path(at["folder"]).name)
            return self.archive_bytes(data.archive.file) if data and data.archive else 0
        if stage == "corpus":
            return self.files_of(self.experiment.corpus.dataset) * 3 * self.experiment.corpus.size**2
        if stage in ("images", "detect"):
            images = self.images_of(at["dataset"], at["setup"], at["part"])
            one = disk.cache_bytes if stage == "images" else disk.map_bytes
            return sum(one(object_, self.geometry(at)) for object_ in images)
        return 0

    def geometry(self, at: Mapping[str, str]) -> GeometryOptions:
        """Of a job that names it, or by its detector's profile."""
        name = at.get("geometry") or self.experiment.detectors[at["detector"]][at["profile"]].geometry
        return self.experiment.geometries[name]

    def images_of(self, dataset: str, setup: str, part: str = "all") -> list[Images]:
        """Images of each object that one job handles; none, and a note, where nothing is known of them."""
        try:
            objects = self.counts(dataset, setup)
        except ValueError:
            self.unknown.add(dataset)
            return []
        if part == "all":
            return list(objects.values())
        return [objects[unquote(part)]] if unquote(part) in objects else []

    def files_of(self, dataset: str) -> int:
        """Images of a data set, in whichever setup lists most; of the corpus those to judge by, too."""
        if dataset == self.experiment.corpus.dataset:
            return self.corpus_images() + self._validation_images()
        setups = self.experiment.datasets[dataset].setups
        return max(sum(one.train + one.test for one in self.images_of(dataset, setup)) for setup in setups)

    def corpus_images(self) -> int:
        """Training images of the corpus: of its manifest, of what will be generated, or ImageNet's."""
        name = self.experiment.corpus.dataset
        try:
            return sum(one.train for one in self.counts(name, "1cls").values())
        except ValueError:
            archive, demo = self.experiment.datasets[name].archive, self.experiment.demo_data
            generated = archive is not None and archive.generated
            return demo.classes * demo.images_per_class if generated else IMAGENET

    def _validation_images(self) -> int:
        name = self.experiment.corpus.dataset
        try:
            return sum(one.test for one in self.counts(name, "1cls").values())
        except ValueError:
            return 0 if self.experiment.datasets[name].archive is not None else disk.IMAGENET_VALIDATION

    def archive_bytes(self, file: str) -> int:
        """Size of a published file, 0 where it is not stated."""
        entries = [data.archive for data in self.experiment.datasets.values() if data.archive is not None]
        entries += self.experiment.weights.values()
        return next((entry.bytes or 0 for entry in entries if located(entry.file) == located(file)), 0)
