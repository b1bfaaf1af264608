"""What a 1-class detector is: a class with `fit` and `score`."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from spd import options


class Detector:
    """Fitted on the features of normal images, scores test images; one object of a data set at a time.

    A class of the user's own is named by its import path in a profile of config.yaml,
    `detector: "mypackage.knn:KNN"`.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("fit", "score")

    Options: ClassVar[type[options.Options]] = options.Options
    """What config.yaml may say of the detector; a default for each key."""
    label: ClassVar[str] = ""
    """The name in tables; empty: the class's."""
    setup: ClassVar[str] = "1cls"
    tasks: ClassVar[tuple[str, ...]] = ("classification", "segmentation")

    def __init__(self, options: options.Options | None = None, device: str = "cpu"):
        self.options = options or self.Options()
        self.device = device
        self.notes: list[str] = []
        """Sentences about this fit that a reader of the table should know."""
        self.report: dict = {}
        """Numerics and sizes for the job's log, as JSON."""

    def fit(self, features: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Self:
        """features: stage -> (N, C, h, w) float32 of the training images, shallow to deep; arrays or memory
        maps. names: of the N images, for messages."""
        raise NotImplementedError

    def score(
        self, features: Mapping[str, np.ndarray], size: tuple[int, int], names: Sequence[str] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image scores (T,) and maps (T, *size), float32, of the test images' features; higher is more
        anomalous. size: (H, W) of the images, and of their masks."""
        raise NotImplementedError

    def drawn(self) -> dict[str, np.ndarray]:
        """What the fit drew at random, by name, as integers: kept beside the maps."""
        return {}
