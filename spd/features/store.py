"""Reading extracted features."""

import json
from pathlib import Path

import numpy as np

from spd.tensors import open_tensors


class Features:
    """What `spd.features.extraction.extract` wrote; arrays are mapped from the file, not loaded."""

    def __init__(self, path: Path | str):
        """Raises ValueError if `path` holds no features."""
        self.path = Path(path)
        self._tensors, metadata = open_tensors(path)
        if "stages" not in metadata or "cache" not in metadata:
            raise ValueError(f"{path} holds no features")
        self.stages: tuple[str, ...] = tuple(json.loads(metadata["stages"]))
        self.cache: dict = json.loads(metadata["cache"])
        """split_hash and geometry of the image cache they were made from."""
        self.sources: dict[str, str] = json.loads(metadata.get("sources", "{}"))
        """Stage -> hash of the code that made it."""
        self._counts: dict[str, dict[str, int]] = json.loads(metadata["objects"])

    @property
    def objects(self) -> list[str]:
        """Names of the objects, in the order of the cache."""
        return list(self._counts)

    def maps(self, object: str, stage: str, split: str | None = None) -> np.ndarray:
        """float32 (N, C, h, w), training images first; `split` train or test, None: both.

        Raises ValueError for an object, stage or split that is not there.
        """
        if object not in self._counts:
            raise ValueError(f"{self.path} has no object {object!r}; there are {', '.join(self._counts)}")
        if stage not in self.stages:
            raise ValueError(f"{self.path} has no stage {stage!r}; there are {', '.join(self.stages)}")
        maps, train = self._tensors[f"{object}/{stage}"], self._counts[object].get("train", 0)
        parts = {None: maps, "train": maps[:train], "test": maps[train:]}
        if split not in parts:
            raise ValueError(f"split must be train or test, not {split!r}")
        return parts[split]

    def split(self, object: str, split: str) -> dict[str, np.ndarray]:
        """{stage: float32 (N, C, h, w)} of one split of an object."""
        return {stage: self.maps(object, stage, split) for stage in self.stages}
