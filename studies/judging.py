"""The sets that backbones are judged on, and PaDiM and PatchCore on them."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from demo_data.archives import write_mvtec, write_visa
from spd.data.cache import ImageCache, write_cache
from spd.data.demo_options import DemoOptions
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import Manifest, make
from spd.data.readers import elpv, mvtec, split_csv, visa
from spd.detectors.evaluation import evaluate
from spd.detectors.registry import DETECTORS as REGISTRY
from spd.features.extraction import extract
from studies.corpora import data
from studies.settings import DETECTORS, GENERATED, JUDGES

TASKS = {"image": ("classification", "by_defect"), "pixel": ("segmentation", "by_defect_segmentation")}
BY_DEFECT = ("tiles",)  # sets with enough images of a defect type


def protocol(judge: str, stages: tuple[str, ...]) -> dict[str, Any]:
    """All that decides a backbone's scores beside the images, defaults included."""
    return {
        "sizes": JUDGES[judge],
        "geometry": GeometryOptions().model_dump(mode="json", exclude={"resize"}),
        "detectors": {
            name: REGISTRY[name].options(**given).model_dump(mode="json") for name, given in DETECTORS.items()
        },
        "stages": stages,
        "generated": GENERATED,
    }  # fmt: skip


class Sets:
    """The sets of a judge that are at hand, as caches in a folder; `missing` says why others are not."""

    def __init__(self, judge: str, folder: Path):
        self.digests: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self._caches: dict[str, Path] = {}
        folder.mkdir(parents=True)
        for name, sizes in JUDGES[judge].items():
            try:
                manifests = _manifests(name, folder)
            except ValueError as error:  # its folder is missing, or the wheel
                self.missing[name] = str(error)
                continue
            self.digests[name] = " ".join(manifest.split_hash for manifest in manifests)
            for size in sizes:
                for number, manifest in enumerate(manifests):
                    path = folder / f"{name}.{number}.{size}.safetensors"
                    write_cache(manifest, None, GeometryOptions(resize=size), path, progress=False)
                    self._caches[f"{name}@{size}", number] = path

    def judge(self, backbone: Path, stages: tuple[str, ...], scratch: Path, device: str) -> dict[str, float]:
        """`SET@SIZE DETECTOR image|pixel AU-ROC|AU-PR` in points, of the tiles also `... AU-ROC, DEFECT`,
        and each defect's `area`, the median share of the image in per cent. A set of several objects is
        `SET/OBJECT`. Metrics that are not defined are left out.

        Raises ValueError for features that cannot be scored (a collapsed network).
        """
        found: dict[str, float] = {}
        features, maps = scratch / "features.safetensors", scratch / "maps.safetensors"
        for (place, _), path in self._caches.items():
            extract(backbone, path, stages, features, device=device, progress=False)
            cache = ImageCache(path)
            for detector, given in DETECTORS.items():
                options = REGISTRY[detector].options(**given)
                results = evaluate(detector, options, path, features, maps, device=device, progress=False)
                for name, result in results.items():
                    if result["scored"]:
                        where = _named(place, name)
                        found |= _metrics(
                            f"{where} {REGISTRY[detector].label}", result, _set(place) in BY_DEFECT
                        )
                        found |= _areas(where, cache, name) if _set(place) in BY_DEFECT else {}
        return found


def _set(place: str) -> str:
    return place.partition("@")[0]


def _named(place: str, item: str) -> str:
    """`elpv@64` and its object mono: `elpv/mono@64`."""
    name, _, size = place.partition("@")
    return f"{name}/{item}@{size}" if name in ("elpv", "generated") else place


def _metrics(prefix: str, result: Mapping[str, Any], by_defect: bool) -> dict[str, float]:
    found = {}
    for word, (task, defects) in TASKS.items():
        for metric in ("AU-ROC", "AU-PR"):
            found[f"{prefix} {word} {metric}"] = (result[task] or {}).get(metric)
        for defect, metrics in result[defects].items() if by_defect else ():
            found[f"{prefix} {word} AU-ROC, {defect}"] = metrics[
                "AU-ROC"
            ]  # AU-PR follows the numbers of images
    return {name: 100 * value for name, value in found.items() if value is not None}


def _areas(where: str, cache: ImageCache, name: str) -> dict[str, float]:
    shares = 100 * cache.masks(name, "test").mean((1, 2))
    defects = cache.rows(name, "test")["defect"].to_numpy()
    return {
        f"{where} area, {kind}": float(np.median(shares[defects == kind])) for kind in set(defects) - {""}
    }


def _manifests(name: str, folder: Path) -> list[Manifest]:
    """Raises ValueError where the set is not at hand."""
    if name == "elpv":
        return [elpv.read()]
    if name == "generated":
        return _generated(folder / name)
    below = {"tiles": "magnetic_tile", "grid": "mvtec_anomaly_detection_sample"}.get(name, name)
    if data() is None or not (data() / below).is_dir():
        raise ValueError(f"no {below} below SPD_DATA")
    root = data() / below
    if name == "tiles":
        return [split_csv.read(root, csv="split_csv/1cls.csv", defect_component=0)]
    return [_cookies(root / "dataset-files") if name == "aws_cookie" else mvtec.read(root)]


def _cookies(root: Path) -> Manifest:
    """Two thirds of the normal cookies train; the anomalous ones test. The unmasked test images, whose labels
    are their names, stay out."""
    rows = []
    for number, path in enumerate(sorted((root / "training-images").glob("*.jpg"))):
        image, anomalous = f"training-images/{path.name}", path.name.startswith("anomaly")
        mask = f"mask-images/{path.stem}.png" if anomalous else ""
        split = "test" if anomalous or number % 3 == 0 else "train"
        rows.append(("cookie", split, "anomaly" if anomalous else "normal", "", image, mask))
    return make(rows, root, 127, reader="aws_cookie", setup="1cls")


def _generated(folder: Path) -> list[Manifest]:
    folder.mkdir()
    manifests = []
    for write, reader in ((write_visa, visa), (write_mvtec, mvtec)):
        name = reader.__name__.rpartition(".")[2]
        write(folder / f"{name}.tar", DemoOptions(**GENERATED))
        with tarfile.open(folder / f"{name}.tar") as tar:
            tar.extractall(folder / name, filter="data")
        manifests.append(reader.read(folder / name, "1cls"))
    return manifests
