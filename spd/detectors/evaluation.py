"""One detector on one backbone's features: fit on training images, score test images, measure."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from spd.data.cache import ImageCache
from spd.data.manifest import FEWEST
from spd.detectors.registry import DETECTORS, build
from spd.features.store import Features
from spd.metrics.by_defect import image_metrics_by_defect, pixel_metrics_by_defect
from spd.metrics.image import image_metrics
from spd.metrics.pixel import pixel_metrics
from spd.options import Options
from spd.tensors import write_tensors

METRIC = (
    "AU-PR = trapezoid over the precision-recall curve; AP = average precision; pixels of all test images, "
    "normal ones included; AU-PRO to FPR 0.3; exact, from float32 scores"
)


def evaluate(
    detector: str,
    options: Options,
    cache_path: str | Path,
    features_path: str | Path,
    maps_path: str | Path,
    *,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, dict[str, Any]]:
    """Runs a 1-class detector on every object of an image cache and returns what a table needs.

    detector: a name (spd.detectors.registry) or an import path.
    Returns object -> {scored, n_train, n_test_normal, n_test_anomaly, classification, segmentation,
    image_scores, by_defect, by_defect_segmentation, notes}; scored is False, and nothing measured, for an
    object with too few images to fit or to test; metrics are fractions in [0, 1], None where undefined;
    segmentation is None for an object without masks; `image_scores` ({anomalous, scores}, by test image) is
    what intervals redraw, None where a score is infinite; the last two metrics are by defect type, empty
    where the data set names none.
    `maps_path` receives, per object, `NAME/maps` float16 (N, H, W) and `NAME/scores` float32 (N,) of the test
    images, and what the fit drew: PaDiM's `NAME/channels`, PatchCore's `NAME/coreset` (int64). Maps are kept
    for pictures: metrics are computed from the float32 maps before. float16 keeps 11 bits of a score;
    maps are scaled by the power of two in the metadata so that none overflows.

    `notes` says what a reader of the table should know, such as an object without anomalies, whose metrics
    are then None. Each fit's numerics (solver, error against float64, sizes) go to stdout, the job's log.

    Raises ValueError naming the object (and image) for data that cannot be scored, MemoryError naming the
    object and what to lower.
    """
    label = DETECTORS[detector].label
    cache, features = ImageCache(cache_path), Features(features_path)
    results: dict[str, dict[str, Any]] = {}
    exponents: dict[str, int] = {}
    kept: dict[str, np.ndarray] = {}
    for name in tqdm(cache.objects, desc=label, unit="object", disable=not progress):
        if reason := _too_few_images(name, cache):
            results[name] = _not_scored(name, cache, reason)
            tqdm.write(f"{label}, {name}: {reason}")
            continue
        scores, maps, model = _score(name, detector, options, cache, features, device)
        measured = _measure(name, cache, scores, maps)
        results[name] = {**measured, "notes": [*map(str, model.notes), *_missing_class(measured)]}
        tqdm.write(f"{label}, {name}: {json.dumps(model.report)}")
        exponents[name] = int(np.ceil(np.log2(max(float(np.abs(maps).max()), 1e-30))))
        kept[f"{name}/maps"] = np.ldexp(maps, -exponents[name]).astype(np.float16)
        kept[f"{name}/scores"] = scores
        kept |= {f"{name}/{key}": np.asarray(drawn, np.int64) for key, drawn in model.drawn().items()}
    metadata = {"exponents": json.dumps(exponents), "split_hash": json.dumps(cache.split_hash)}
    write_tensors(maps_path, kept, metadata)
    return results


def _score(
    name: str, detector: str, options: Any, cache: ImageCache, features: Features, device: str
) -> tuple[np.ndarray, np.ndarray, Any]:
    height, width = cache.images(name).shape[2:]
    model = build(detector, options, device)
    try:
        model.fit(features.split(name, "train"), names=list(cache.rows(name, "train")["image"]))
        scores, maps = model.score(
            features.split(name, "test"), (height, width), names=list(cache.rows(name, "test")["image"])
        )
    except (ValueError, MemoryError) as error:
        raise type(error)(f"{DETECTORS[detector].label}, object {name}: {error}") from error
    return scores, maps, model


def _too_few_images(name: str, cache: ImageCache) -> str:
    train, test = (len(cache.rows(name, split)) for split in ("train", "test"))
    if train >= FEWEST and test:
        return ""
    return f"Not scored: {train} training and {test} test images; {FEWEST} and 1 are needed"


def _not_scored(name: str, cache: ImageCache, reason: str) -> dict[str, Any]:
    anomalous = cache.rows(name, "test")["label"] == "anomaly"
    return {
        "scored": False,
        "n_train": len(cache.rows(name, "train")),
        "n_test_normal": int((~anomalous).sum()),
        "n_test_anomaly": int(anomalous.sum()),
        "classification": None,
        "segmentation": None,
        "image_scores": None,
        "by_defect": {},
        "by_defect_segmentation": {},
        "notes": [reason],
    }


def _measure(name: str, cache: ImageCache, scores: np.ndarray, maps: np.ndarray) -> dict[str, Any]:
    rows = cache.rows(name, "test")
    anomalous = (rows["label"] == "anomaly").to_numpy()
    files, masks = list(rows["image"]), cache.masks(name, "test")
    # Defect types are named by the data set, or not at all.
    known = np.flatnonzero((rows["defect"] != "").to_numpy() | ~anomalous)
    labels, defects = anomalous[known], list(rows["defect"].iloc[known])
    return {
        "scored": True,
        "n_train": len(cache.rows(name, "train")),
        "n_test_normal": int((~anomalous).sum()),
        "n_test_anomaly": int(anomalous.sum()),
        "classification": image_metrics(scores, anomalous, names=files),
        "segmentation": None if masks is None else pixel_metrics(maps, masks, names=files),
        "image_scores": _kept(scores, anomalous),
        "by_defect": image_metrics_by_defect(scores[known], labels, defects),
        "by_defect_segmentation": {}
        if masks is None
        else pixel_metrics_by_defect([maps[i] for i in known], [masks[i] for i in known], labels, defects),
    }


def _missing_class(measured: dict[str, Any]) -> list[str]:
    return [
        f"No {word} test images, so no metric is defined"
        for key, word in (("n_test_anomaly", "anomalous"), ("n_test_normal", "normal"))
        if not measured[key]
    ]


def _kept(scores: np.ndarray, anomalous: np.ndarray) -> dict[str, list] | None:
    if not np.isfinite(scores).all():  # JSON has no infinity
        return None
    # Nine digits hold a float32.
    return {"anomalous": anomalous.tolist(), "scores": [float(f"{score:.9g}") for score in scores]}
