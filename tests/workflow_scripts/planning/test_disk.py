"""Disk use: against the files that the library really writes, and the paper's preset by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spd.backbones.architectures import build
from spd.backbones.files import export
from spd.config.model import load
from spd.data.cache import write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import make, write
from spd.detectors.evaluation import evaluate
from spd.detectors.options import PaDiMOptions
from spd.features.extraction import extract
from workflow_scripts.planning import disk
from workflow_scripts.planning.disk import Disk, Images, cache_bytes, feature_bytes, map_bytes

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
ARCHITECTURE, STAGES = "resnet10_w16", ("layer1", "layer2")
GEOMETRY = GeometryOptions(resize=72, mode="short", crop=64)


def test_equals_the_files_that_are_written(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 2, (80, 90), np.uint8) * 255).save(tmp_path / f"{i}_mask.png")
        anomaly = i >= 30
        rows.append(
            (
                "part",
                "test" if i >= 25 else "train",
                "anomaly" if anomaly else "normal",
                "",
                f"{i}.png",
                f"{i}_mask.png" if anomaly else "",
            )
        )
    images = Images(train=25, test=15)
    cache, backbone, features = tmp_path / "cache", tmp_path / "backbone", tmp_path / "features"
    write_cache(make(rows, tmp_path, 127), None, GEOMETRY, cache, progress=False)
    export(build(ARCHITECTURE), backbone, architecture=ARCHITECTURE, metadata={})
    extract(backbone, cache, STAGES, features, progress=False)
    evaluate("padim", PaDiMOptions(dim=5), cache, features, tmp_path / "maps", progress=False)
    for path, predicted in (
        (cache, cache_bytes(images, GEOMETRY)),
        (features, feature_bytes(images, ARCHITECTURE, STAGES, GEOMETRY)),
        (tmp_path / "maps", map_bytes(images, GEOMETRY)),
        (backbone, disk.parameter_bytes(ARCHITECTURE)),
    ):
        assert 0 <= path.stat().st_size - predicted < 30_000, path.name  # the header


def test_without_masks_a_cache_is_a_quarter_smaller():
    with_masks, without = (cache_bytes(Images(3, 2, masks), GEOMETRY) for masks in (True, False))
    assert (with_masks, without) == (5 * 4 * 64 * 64, 5 * 3 * 64 * 64)


def test_preset_paper():
    experiment = load(CONFIG, {"preset": "paper"})
    found = disk.disk(experiment, disk.published(experiment))
    # pcb3, VisA's largest object (905 + 201 images); ResNet-50's maps at 256 px without a crop.
    values = 64 * 64 * 256 + 32 * 32 * 512 + 16 * 16 * 1024
    assert found.largest_features == 1106 * 4 * values
    assert found.kept["packed corpus (ImageNet)"] == (1_281_167 + 50_000) * 3 * 256**2
    assert not found.keep_features
    assert found.peak(1) == sum(found.kept.values()) + found.largest_features < found.peak(16)
    assert found.peak(None) == sum(found.kept.values()) + found.features


def test_kept_features_all_count():
    found = Disk({"maps": 10}, features=100, largest_features=7, keep_features=True)
    assert found.peak(1) == 110
    assert "features are kept" in disk.table(found)


def test_unknown_counts_and_sizes_are_named():
    with pytest.raises(ValueError, match=r"datasets\.visa: `facts` names no published counts"):
        disk.published(load(CONFIG, {"preset": "demo"}))("visa", "1cls")
    with pytest.raises(ValueError, match="has no size of its own"):
        cache_bytes(Images(1, 1), GeometryOptions(resize=64, mode="short"))


def test_counts_of_a_manifest_replace_those_of_the_publication(tmp_path):
    rows = [("nut", "train", "normal", "", f"{i}.png", "") for i in range(7)]
    rows += [
        ("nut", "test", "anomaly", "hole", "a.png", "a_mask.png"),
        ("nut", "test", "normal", "", "b.png", ""),
    ]
    rows += [("bolt", "train", "normal", "", "c.png", ""), ("bolt", "test", "anomaly", "bent", "d.png", "")]
    (tmp_path / "visa").mkdir()
    write(make(rows, tmp_path, 127), tmp_path / "visa/1cls.csv")
    counts = disk.counted(tmp_path, lambda *_: {"candle": Images(1, 2)})
    assert counts("visa", "1cls") == {"bolt": Images(1, 1, masks=False), "nut": Images(7, 2)}
    assert counts("mvtec", "1cls") == {"candle": Images(1, 2)}
