"""All runs of one pre-training and task: fine-tune on each draw of each object, score test images, measure.

The backbone is read once and the images are those of the cache, decoded once. What a finished run found is
kept in a folder of its own until all are done, so an interrupted job goes on after the last finished run.
"""

import copy
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from spd.backbones import files
from spd.data.cache import ImageCache
from spd.detectors.finetuned.options import FineTuningOptions
from spd.detectors.finetuned.runs import Run
from spd.detectors.finetuned.training import Normalise, fine_tune, score
from spd.detectors.registry import DETECTORS
from spd.files import read_json, write_json
from spd.float32 import full_float32
from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics
from spd.seeds import seed_of

METRIC = (
    "AU-PR = trapezoid over the precision-recall curve; AP = average precision; pixels of all test images, "
    "normal ones included; AU-PRO to FPR 0.3; exact, from float32 log-odds"
)


@full_float32()
def evaluate(
    detector: str,
    options: FineTuningOptions,
    backbone_path: str | Path,
    cache_path: str | Path,
    drawn: Mapping[tuple[str, int, int], Sequence[str]] | None,
    wanted: Sequence[Run],
    state: str | Path,
    *,
    identity: Mapping[str, Any],
    device: str | torch.device | None = None,
    progress: bool = True,
) -> dict[Run, dict[str, dict[str, Any]]]:
    """Trains and measures every run of every object of an image cache.

    detector: `classifier`, `unet` or an import path. drawn: (object, shots, draw) -> training images
    (spd.detectors.finetuned.draws); not needed for `Run()`. state: a folder for what is finished; one that
    was left by a call with another `identity` (any JSON) is emptied first; the caller removes it once the
    results are safe.
    device: a GPU if there is one.

    Returns run -> object -> {n_train, n_test_normal, n_test_anomaly, classification, segmentation,
    image_scores, train_loss, notes}, as spd.detectors.evaluation's; metrics are fractions in [0, 1], None
    where undefined. A classifier has no segmentation, a U-Net no classification and no image scores, and an
    object without masks no U-Net; another detector is as the one of its task. The result of a run depends on
    object, run, options and backbone, not on what else the call holds.

    Raises ValueError for a run without its draw, and a draw that is not among the cache's training images.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cache, state = ImageCache(cache_path), Path(state)
    backbone, metadata = files.load(backbone_path)
    normalise = Normalise(metadata.mean, metadata.std, place)
    _claim(state, identity)
    results: dict[Run, dict[str, dict[str, Any]]] = {run: {} for run in wanted}
    bar = tqdm(
        total=len(wanted) * len(cache.objects),
        desc=DETECTORS[detector].label,
        unit="training",
        disable=not progress,
    )
    with bar:
        for name in cache.objects:
            test = _Test(cache, name)
            for run in wanted:
                finished = state / quote(name, safe="") / f"{run}.json"
                if not finished.is_file():
                    chosen = training_rows(cache, name, run, drawn)
                    found = _train_and_measure(
                        detector, options, backbone, normalise, cache, name, chosen, run, test, place
                    )
                    write_json(finished, found)
                results[run][name] = read_json(finished)
                bar.update()
    return results


def build(detector: str, options: FineTuningOptions, backbone: nn.Module, seed: str) -> nn.Module:
    """A network around a copy of `backbone`; what is new in it is drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        return DETECTORS[detector].load()(copy.deepcopy(backbone), options)


def segments(detector: str) -> bool:
    """Whether a detector gives a log-odds for each pixel, rather than for each image."""
    return "segmentation" in DETECTORS[detector].tasks


def run_seed(detector: str, name: str, run: Run) -> str:
    """Seed of new weights, order and flips: the same for every pre-training, so that deltas are paired."""
    return f"twoclass/{detector}/{name}/{run}"


class _Test:
    """The test images of one object, read once for all of its runs."""

    def __init__(self, cache: ImageCache, name: str):
        rows = cache.rows(name, "test")
        self.files = list(rows["image"])
        self.anomalous = (rows["label"] == "anomaly").to_numpy()
        self.images, self.masks = cache.images(name, "test"), cache.masks(name, "test")


def _train_and_measure(
    detector: str,
    options: FineTuningOptions,
    backbone: nn.Module,
    normalise: Normalise,
    cache: ImageCache,
    name: str,
    chosen: np.ndarray,
    run: Run,
    test: _Test,
    place: torch.device,
) -> dict[str, Any]:
    result = {
        "n_train": len(chosen),
        "n_test_normal": int((~test.anomalous).sum()),
        "n_test_anomaly": int(test.anomalous.sum()),
        "classification": None,
        "segmentation": None,
        "image_scores": None,
        "notes": [],
    }
    if segments(detector) and test.masks is None:
        return result | {"notes": ["no masks, so nothing to segment"]}
    seed = run_seed(detector, name, run)
    network = build(detector, options, backbone, seed).to(place)
    images, targets = training_set(cache, name, chosen, detector)
    try:
        losses = fine_tune(network, images.to(place), targets.to(place), options, normalise, seed=seed)
    except ValueError as error:
        raise ValueError(f"{DETECTORS[detector].label}, object {name}, run {run}: {error}") from error
    scores = score(network, test.images, normalise, place)
    result["train_loss"] = float(np.mean(losses[-10:]))
    if segments(detector):
        result["segmentation"] = pixel_metrics(scores, test.masks, names=test.files)
        return result
    result["classification"] = image_metrics(scores, test.anomalous, names=test.files)
    # Nine digits hold a float32.
    kept = [float(f"{value:.9g}") for value in scores]
    result["image_scores"] = {"anomalous": test.anomalous.tolist(), "scores": kept}
    return result


def training_set(
    cache: ImageCache, name: str, chosen: np.ndarray, detector: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """(images uint8 (N, 3, H, W), targets float32 {0, 1} (N,), or uint8 {0, 1} (N, H, W) for one that
    segments) of the training rows `chosen`."""
    images = torch.from_numpy(np.array(cache.images(name, "train")[chosen]))
    if segments(detector):
        return images, torch.from_numpy(np.array(cache.masks(name, "train")[chosen]))
    labels = (cache.rows(name, "train")["label"] == "anomaly").to_numpy()
    return images, torch.from_numpy(labels[chosen].astype(np.float32))


def training_rows(
    cache: ImageCache, name: str, run: Run, drawn: Mapping[tuple[str, int, int], Sequence[str]] | None
) -> np.ndarray:
    """Rows of the cache's training images that a run learns from, int64, in the cache's order."""
    rows = cache.rows(name, "train")
    if run.shots is None:
        if rows["label"].nunique() < 2:
            raise ValueError(f"object {name}: 2-class training needs normal and anomalous training images")
        return np.arange(len(rows))
    if drawn is None or (name, run.shots, run.draw) not in drawn:
        raise ValueError(f"object {name}: there is no draw for the run {run}; make the draws again")
    position = {image: i for i, image in enumerate(rows["image"])}
    images = drawn[name, run.shots, run.draw]
    strange = [image for image in images if image not in position]
    if strange:
        raise ValueError(
            f"object {name}, run {run}: {strange[0]} is not a training image of this split; "
            "make the draws again"
        )
    return np.array(sorted(position[image] for image in images))


def _claim(state: Path, identity: Mapping[str, Any]) -> None:
    """Makes `state` the folder of `identity`, empty unless it already was."""
    mark = state / "identity.json"
    if state.is_dir() and not (mark.is_file() and read_json(mark) == dict(identity)):
        shutil.rmtree(state)
    if not mark.is_file():
        write_json(mark, dict(identity))
