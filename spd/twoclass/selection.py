"""Hyper-parameters chosen on training images alone: cross-validation inside each training draw. (ours)"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from spd.backbones import files
from spd.images.cache import ImageCache
from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics
from spd.seeds import permutation
from spd.twoclass.evaluation import build, run_seed, training_rows, training_set
from spd.twoclass.options import FineTuningOptions
from spd.twoclass.runs import Run
from spd.twoclass.training import Normalise, fine_tune, score


class Held(NamedTuple):
    """How one choice of options did on the held-out training images of one fold."""

    options: FineTuningOptions
    backbone: str
    object: str
    run: Run
    fold: int
    value: float | None
    """Image AU-ROC of a classifier, pixel AU-PR of a U-Net, in [0, 1]."""


def cross_validate(
    detector: str,
    candidates: Sequence[FineTuningOptions],
    backbones: Sequence[str],
    cache: ImageCache,
    drawn: Mapping[tuple[str, int, int], Sequence[str]] | None,
    wanted: Sequence[Run],
    *,
    folds: int = 2,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Iterator[Held]:
    """Trains each candidate on all folds but one of each draw and measures it on that one.

    No test image is read. Folds are stratified by class and the same for every candidate and backbone; so
    are new weights, order and flips. Image AU-ROC, since with a few held-out images AU-PR is mostly noise.
    Raises ValueError for a draw with fewer images of a class than folds.
    """
    loaded = {path: files.load(path) for path in backbones}
    jobs = [
        (path, name, run, fold, options)
        for path in backbones
        for name in cache.objects
        for run in wanted
        for fold in range(folds)
        for options in candidates
    ]
    for path, name, run, fold, options in tqdm(jobs, unit="training", disable=not progress):
        backbone, metadata = loaded[path]
        normalise = Normalise(metadata.mean, metadata.std, device)
        chosen = training_rows(cache, name, run, drawn)
        anomalous = (cache.rows(name, "train")["label"] == "anomaly").to_numpy()[chosen]
        out = folds_of(anomalous, folds, f"folds/{name}/{run}") == fold
        seed = f"{run_seed(detector, name, run)}/fold{fold}"
        network = build(detector, options, backbone, seed).to(device)
        images, targets = training_set(cache, name, chosen[~out], detector)
        fine_tune(network, images.to(device), targets.to(device), options, normalise, seed=seed)
        images, targets = training_set(cache, name, chosen[out], detector)
        scores = score(network, images.numpy(), normalise, device)
        if detector == "unet":
            value = pixel_metrics(scores, targets.numpy(), pro=False)["AU-PR"]
        else:
            value = image_metrics(scores, anomalous[out])["AU-ROC"]
        yield Held(options, path, name, run, fold, value)


def folds_of(anomalous: np.ndarray, folds: int, seed: str) -> np.ndarray:
    """The fold of each image, int64 (N,): each class is dealt out in a random order."""
    of = np.empty(len(anomalous), np.int64)
    for label in (False, True):
        members = np.flatnonzero(anomalous == label)
        if len(members) < folds:
            raise ValueError(f"{len(members)} training images of a class cannot make {folds} folds")
        of[members[permutation(len(members), seed, int(label)).numpy()]] = np.arange(len(members)) % folds
    return of
