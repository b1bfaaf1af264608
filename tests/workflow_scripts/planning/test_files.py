"""Sizes against the files that the library really writes; image counts of manifests and publications."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spd.backbones.architectures import build
from spd.backbones.files import export
from spd.config.model import load
from spd.data.cache import write_cache
from spd.data.manifest import make, write
from spd.detectors.evaluation import evaluate
from spd.detectors.options import PaDiMOptions
from spd.features.extraction import extract
from workflow_scripts.planning.files import Images
from workflow_scripts.planning.stages import Stages

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"


def test_equals_the_files_that_are_written(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 2, (80, 90), np.uint8) * 255).save(tmp_path / f"{i}_mask.png")
        split, label = "test" if i >= 25 else "train", "anomaly" if i >= 30 else "normal"
        rows.append(("part", split, label, "", f"{i}.png", f"{i}_mask.png" if i >= 30 else ""))
    experiment = load(CONFIG, {"preset": "demo", "geometries": {"square72": {"resize": 72, "crop": 64}}})
    manifest, stages, files = make(rows, tmp_path, 127), ("layer1", "layer2", "layer3"), {}
    for name in ("images", "import_backbone", "features", "detect"):
        files[name] = tmp_path / name
    write_cache(manifest, None, experiment.geometries["square72"], files["images"], progress=False)
    export(build("resnet10_w16"), files["import_backbone"], architecture="resnet10_w16", metadata={})
    extract(files["import_backbone"], files["images"], stages, files["features"], progress=False)
    evaluate(
        "padim", PaDiMOptions(dim=5), files["images"], files["features"], files["detect"], progress=False
    )
    (tmp_path / "visa").mkdir()
    write(manifest, tmp_path / "visa/1cls.csv")
    costs = Stages(experiment, tmp_path)
    at = {"dataset": "visa", "setup": "1cls", "part": "all", "geometry": "square72", "pretraining": "sup"}
    at |= {"detector": "padim", "profile": "paper"}
    for stage, path in files.items():
        assert 0 <= path.stat().st_size - costs.work(stage, at).files < 30_000, stage  # the header


def test_images_are_those_of_a_manifest_and_before_it_the_publications(tmp_path):
    rows = [("nut", "train", "normal", "", f"{i}.png", "") for i in range(7)]
    rows += [
        ("nut", "test", "anomaly", "hole", "a.png", "a_mask.png"),
        ("nut", "test", "normal", "", "b.png", ""),
    ]
    rows += [("bolt", "train", "normal", "", "c.png", ""), ("bolt", "test", "anomaly", "bent", "d.png", "")]
    (tmp_path / "visa").mkdir()
    write(make(rows, tmp_path, 127), tmp_path / "visa/1cls.csv")
    costs = Stages(load(CONFIG, {"preset": "paper"}), tmp_path)
    assert costs.images("visa", "1cls") == [Images(1, 1, masks=False), Images(7, 2)]
    assert costs.images("visa", "1cls", "nut") == [Images(7, 2)]
    assert costs.images("mvtec", "1cls", "bottle") == [Images(209, 83)]  # MVTec-AD's paper, table 2
    pixels = 224 * 224
    at = {"dataset": "visa", "setup": "1cls", "part": "all", "geometry": "crop224"}
    assert costs.bytes_of("images", at) == pixels * (9 * 4 + 2 * 3)  # no masks, no fourth plane
    assert not costs.unknown


def test_what_nobody_can_count_yet_is_noted(tmp_path):
    costs = Stages(load(CONFIG, {"preset": "demo"}), tmp_path)
    assert costs.images("visa", "1cls") == []
    assert costs.unknown == {"visa"}
    demo = costs.experiment.demo_data
    assert costs.corpus() == Images(demo.classes * demo.images_per_class, 0)
    with pytest.raises(ValueError, match=r"datasets\.visa: no manifest yet, and `facts` names no published"):
        costs.counts("visa", "1cls")


def test_corpus_of_preset_paper(tmp_path):
    costs = Stages(load(CONFIG, {"preset": "paper"}), tmp_path)
    assert costs.bytes_of("corpus", {}) == (1_281_167 + 50_000) * 3 * 256**2
