"""Hyper-parameters chosen on the training split alone. (ours)

A few-shot draw is trained on as it will be, and measured on the images of the pool that it left out; a whole
split (high-shot) is dealt into folds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from spd.backbones import files
from spd.data.cache import ImageCache
from spd.detectors.finetuned.evaluation import build, run_seed, segments, training_rows, training_set
from spd.detectors.finetuned.options import FineTuningOptions
from spd.detectors.finetuned.runs import Run
from spd.detectors.finetuned.training import Normalise, fine_tune, score
from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics
from spd.seeds import permutation


class Held(NamedTuple):
    """How one choice of options did on training images that it was not trained on."""

    options: FineTuningOptions
    backbone: str
    object: str
    run: Run
    fold: int
    """0 for a draw."""
    value: float | None
    """Image AU-ROC of a classifier, pixel AU-PR of a U-Net, in [0, 1]."""


def held_out(
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
    """Trains each candidate on training images and measures it on other training images.

    No test image is read. What is trained on and measured, new weights, order and flips are the same for
    every candidate and backbone. `folds` are those of the whole split, `Run()`. Image AU-ROC, since AU-PR of
    a few images is mostly noise. Raises ValueError for a draw that leaves nothing out, and for fewer images
    of a class than folds.
    """
    loaded = {path: files.load(path) for path in backbones}
    jobs = [
        (path, name, run, fold, trained, held, options)
        for path in backbones
        for name in cache.objects
        for run in wanted
        for fold, (trained, held) in enumerate(parts(cache, name, run, drawn, folds))
        for options in candidates
    ]
    for path, name, run, fold, trained, held, options in tqdm(jobs, unit="training", disable=not progress):
        backbone, metadata = loaded[path]
        normalise = Normalise(metadata.mean, metadata.std, device)
        seed = run_seed(detector, name, run) + (f"/fold{fold}" if run.shots is None else "")
        network = build(detector, options, backbone, seed).to(device)
        images, targets = training_set(cache, name, trained, detector)
        fine_tune(network, images.to(device), targets.to(device), options, normalise, seed=seed)
        images, targets = training_set(cache, name, held, detector)
        scores = score(network, images.numpy(), normalise, device)
        if segments(detector):
            value = pixel_metrics(scores, targets.numpy(), pro=False)["AU-PR"]
        else:
            value = image_metrics(scores, targets.numpy() == 1)["AU-ROC"]
        yield Held(options, path, name, run, fold, value)


def parts(
    cache: ImageCache,
    name: str,
    run: Run,
    drawn: Mapping[tuple[str, int, int], Sequence[str]] | None,
    folds: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rows that are trained on, rows that are measured) of the training images of one object."""
    anomalous = (cache.rows(name, "train")["label"] == "anomaly").to_numpy()
    chosen = training_rows(cache, name, run, drawn)
    if run.shots is None:
        of = folds_of(anomalous, folds, f"folds/{name}")
        return [(np.flatnonzero(of != fold), np.flatnonzero(of == fold)) for fold in range(folds)]
    rest = np.setdiff1d(np.arange(len(anomalous)), chosen)
    if len(set(anomalous[rest])) < 2:
        raise ValueError(
            f"object {name}, run {run}: the draw leaves no images of both classes to measure; "
            "take fewer shots"
        )
    return [(chosen, rest)]


def folds_of(anomalous: np.ndarray, folds: int, seed: str) -> np.ndarray:
    """The fold of each image, int64 (N,): each class is dealt out in a random order."""
    of = np.empty(len(anomalous), np.int64)
    for label in (False, True):
        members = np.flatnonzero(anomalous == label)
        if len(members) < folds:
            raise ValueError(f"{len(members)} training images of a class cannot make {folds} folds")
        of[members[permutation(len(members), seed, int(label)).numpy()]] = np.arange(len(members)) % folds
    return of
