"""What comes from outside the project - archives, folders, published weights - and where it lies."""

import functools
from pathlib import Path

from spd.config.design import Design
from spd.data.fingerprint import folder_fingerprint
from spd.data.options import ArchiveOptions, expand, located
from workflow_scripts.common.preflight import read_only


class ExternalFiles:
    """Files and folders that the configuration names, `~` and variables in their paths expanded.

    A variable that is not set stops nothing here: `unset` has a line for each that a path in use needs.
    Raises ValueError for an archive next to which nothing can be unpacked.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.unset: list[str] = []
        experiment = design.experiment
        needed = dict(design.backbones)
        self.archives: dict[str, str] = {}
        """Data set -> archive, for those that come as one."""
        self.folders: dict[str, Path] = {}
        """Data set -> folder, for those that are the user's."""
        self.checkpoints: dict[str, str] = {}
        """Pre-training -> file of its weights, for those that are read from one."""
        for name, dataset in experiment.datasets.items():
            key, used = f"datasets.{name}", name in design.datasets
            if dataset.archive is not None:
                self.archives[name] = str(self._expand(f"{key}.archive.file", dataset.archive.file, used))
            if dataset.root is not None:
                self.folders[name] = self._expand(f"{key}.root", dataset.root, used)
                for setup, csv in dataset.csv.items():
                    self._expand(f"{key}.csv.{setup}", csv, used)
        for name, row in experiment.pretrainings.items():
            if row.source is not None and row.source.checkpoint is not None:
                key = f"pretrainings.{name}.source.checkpoint"
                self.checkpoints[name] = str(self._expand(key, row.source.checkpoint, name in needed))
        entries = [(file, experiment.datasets[name].archive) for name, file in self.archives.items()]
        entries += [(located(entry.file), entry) for entry in experiment.weights.values()]
        self.downloads: dict[str, ArchiveOptions] = {
            file: entry.model_copy(update={"file": file}) for file, entry in entries if entry.url is not None
        }
        """File -> its entry, for everything that has an address."""
        self.unpacked: dict[str, str] = {name: self._unpack_to(name) for name in self.archives}
        """Data set -> folder that its archive is unpacked to."""
        self.state = functools.cache(self._state)

    def _expand(self, key: str, path: str, needed: bool) -> Path:
        try:
            return expand(path, key)
        except ValueError as error:
            if needed:
                self.unset.append(str(error))
            return Path(path)

    def _unpack_to(self, name: str) -> str:
        """Beside the archive, or where the config says."""
        archive, used = self.archives[name], name in self.design.datasets
        folder = self.design.experiment.datasets[name].archive.unpack_to
        key = f"datasets.{name}.archive.unpack_to"
        above = Path(archive).parent / "unpacked" if folder is None else self._expand(key, folder, used)
        there = (above / f"{name}.json").exists()
        if not there and used and "$" not in str(above) and (at := read_only(above)):
            raise ValueError(
                f"config: datasets.{name}: {archive} would be unpacked to {above}, and {at} cannot be "
                f"written to; name another folder under {key}"
            )
        return str(above / name)

    def _state(self, dataset: str) -> str | None:
        """Hash of paths, sizes and times of a user's folder: one replaced image rebuilds what hangs on it.

        `absent` where it cannot be read, which is said before any job; None for other data sets.
        """
        root = self.folders.get(dataset)
        if root is None:
            return None
        if self.unset or not root.is_dir():
            return "absent"
        return folder_fingerprint(root, self.design.experiment.datasets[dataset].split_files())

    def ready(self, file: str) -> str:
        """What a reader of a file waits for: its stamp if it has an address, else the file itself."""
        return f"{file}.verified" if file in self.downloads else file

    def weights(self, pretraining: str) -> str | None:
        """What an import of a pre-training waits for; None where the weights are in no file."""
        file = self.checkpoints.get(pretraining)
        return file and self.ready(file)

    def inventory(self, dataset: str) -> str | None:
        """The file that says that an archive is unpacked; None where there is none to unpack."""
        return f"{self.unpacked[dataset]}.json" if dataset in self.unpacked else None

    def unpacked_from(self, folder: str) -> str:
        """The data set whose archive is unpacked to a folder."""
        return next(name for name, target in self.unpacked.items() if target == folder)

    def published_sha256(self, pretraining: str) -> str | None:
        """The hash that a pre-training's published weights must have, None for a file of the user's own."""
        entries, checkpoint = self.design.experiment.weights.values(), self.checkpoints.get(pretraining)
        return next((entry.sha256 for entry in entries if located(entry.file) == checkpoint), None)
