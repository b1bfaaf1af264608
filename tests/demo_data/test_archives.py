import csv
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from demo_data import archives
from demo_data.archives import (
    mvtec_photograph,
    visa_photograph,
    visa_splits,
    write_classes,
    write_mvtec,
    write_visa,
)
from demo_data.parts import PARTS
from spd.data.demo_options import DemoOptions

TINY = DemoOptions(
    scale=0.4,
    visa_objects=("gelcaps", "board"),
    visa_normal=10,
    visa_anomaly=10,
    mvtec_categories=("weave", "gear"),
    mvtec_train_good=4,
    mvtec_test_good=2,
    mvtec_per_defect=1,
    classes=4,
    images_per_class=5,
    class_size=40,
)
WRITERS = {"visa.tar": write_visa, "mvtec.tar.xz": write_mvtec, "classes.tar": write_classes}
# Of TINY's archives. They change with the drawing, never with the machine, numpy, Pillow, zlib or liblzma.
SHA256 = {
    "visa.tar": "800261b79d119b2161618e6f1bbef6ce5eb1250bf2fb61b010827aa4d78a8137",
    "mvtec.tar.xz": "7ee83fd6e3a074eb621a45eb2c432af51c1ea0db9f13527c0448b82ec35ede2d",
    "classes.tar": "ae2907f8c244b3365a3c931c36b07bac1a2f6b3105c75a7f0750b2bb5421f7d3",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    for name, write in WRITERS.items():
        write(folder / name, TINY)
    return folder


def members(path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


@pytest.mark.parametrize("name", WRITERS)
def test_bytes_are_the_recorded_ones(folder, name):
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == SHA256[name]


def test_bytes_do_not_depend_on_the_processor_nor_on_the_process(folder, tmp_path):
    """A fresh process with numpy's code for newer processors switched off writes the same classes."""
    from numpy._core import _multiarray_umath as umath

    newer = [feature for feature in umath.__cpu_dispatch__ if umath.__cpu_features__.get(feature)]
    script = (
        "import sys; from pathlib import Path; from spd.data.demo_options import DemoOptions\n"
        "from demo_data import archives\n"
        "options = DemoOptions.model_validate_json(sys.argv[2])\n"
        "archives.write_classes(Path(sys.argv[1], 'classes.tar'), options)\n"
        "archives.write_mvtec(Path(sys.argv[1], 'mvtec.tar.xz'), options)\n"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(newer)}
    subprocess.run(
        [sys.executable, "-c", script, tmp_path, TINY.model_dump_json()], env=environment, check=True
    )
    for name in ("classes.tar", "mvtec.tar.xz"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_every_image_can_be_drawn_alone(folder):
    """No image depends on those before it: any division of the work gives the same bytes."""
    found = members(folder / "visa.tar")
    part = PARTS["board"]
    shot = visa_photograph(part, TINY, "anomaly", 7)
    assert archives.encode_jpeg(shot.image) == found["board/Data/Images/Anomaly/007.JPG"]
    shot = mvtec_photograph(PARTS["gear"], TINY, "train/good", 3)
    assert archives.encode_png(shot.image) == members(folder / "mvtec.tar.xz")["gear/train/good/003.png"]


def test_another_seed_draws_other_images(folder, tmp_path):
    write_classes(tmp_path / "classes.tar", TINY.model_copy(update={"seed": 1}))
    ours, theirs = members(folder / "classes.tar"), members(tmp_path / "classes.tar")
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours)


def test_visa_layout(folder):
    found = members(folder / "visa.tar")
    expected = {"LICENSE-DATASET", *(f"split_csv/{s}.csv" for s in ("1cls", "2cls_highshot", "2cls_fewshot"))}
    for name in TINY.visa_objects:
        expected.add(f"{name}/image_anno.csv")
        for i in range(10):
            expected |= {f"{name}/Data/Images/Normal/{i:03d}.JPG", f"{name}/Data/Images/Anomaly/{i:03d}.JPG"}
            expected.add(f"{name}/Data/Masks/Anomaly/{i:03d}.png")
    assert set(found) == expected
    assert b"generated" in found["LICENSE-DATASET"] and b"free of rights" in found["LICENSE-DATASET"]
    assert found["split_csv/1cls.csv"].startswith(b"object,split,label,image,mask\n")
    assert found["board/image_anno.csv"].startswith(b"image,label,mask\n")


def test_visa_splits_count_and_nest_as_the_real_ones():
    options = DemoOptions()
    for name in options.visa_objects:
        splits = visa_splits(PARTS[name], options)
        train = {
            (setup, label): {i for i, side in enumerate(sides) if side == "train"}
            for setup, by_label in splits.items()
            for label, sides in by_label.items()
        }
        assert {key: len(indices) for key, indices in train.items()} == {
            ("1cls", "normal"): 90, ("1cls", "anomaly"): 0,
            ("2cls_highshot", "normal"): 60, ("2cls_highshot", "anomaly"): 30,
            ("2cls_fewshot", "normal"): 20, ("2cls_fewshot", "anomaly"): 10,
        }  # fmt: skip
        for label in ("normal", "anomaly"):
            assert train["2cls_fewshot", label] < train["2cls_highshot", label]


@pytest.mark.parametrize(
    ("count", "one", "high", "few"),
    [
        (1000, 900, 600, 200),
        (602, 542, 361, 120),
        (503, 453, 302, 101),
        (1004, 904, 602, 201),
        (1006, 905, 604, 201),
    ],
)
def test_shares_round_as_in_visas_own_splits(count, one, high, few):
    assert [archives._share(count, share) for share in (0.9, 0.6, 0.2)] == [one, high, few]


def test_visa_tables_agree_with_each_other_and_the_images(folder):
    found = members(folder / "visa.tar")
    tables = {
        setup: rows(found[f"split_csv/{setup}.csv"]) for setup in ("1cls", "2cls_highshot", "2cls_fewshot")
    }
    for table in tables.values():
        assert [row["image"] for row in table] == [row["image"] for row in tables["1cls"]]
        assert all(
            row["image"] in found and (row["mask"] in found) == (row["label"] == "anomaly") for row in table
        )
    assert (
        Counter((r["object"], r["split"], r["label"]) for r in tables["2cls_fewshot"])[
            "board", "train", "anomaly"
        ]
        == 2
    )
    for name in TINY.visa_objects:
        kinds = [kind.replace("_", " ") for kind in PARTS[name].defects]
        anno = rows(found[f"{name}/image_anno.csv"])
        assert len(anno) == 20
        for row in anno:
            size = pixels(found[row["image"]]).shape
            assert size[2] == 3
            if "/Normal/" in row["image"]:
                assert row["label"] == "normal" and row["mask"] == ""
                continue
            mask = pixels(found[row["mask"]])
            assert mask.shape == size[:2] and mask.dtype == np.uint8
            stated = {kinds.index(kind) + 1 for kind in row["label"].split(", ")}
            values = set(np.unique(mask)) - {0}
            assert values <= set(range(1, 6))
            if name == "board":  # the first object's masks also hold stray ids
                assert values <= stated and values
        assert {kind for row in anno for kind in row["label"].split(", ")} == {*kinds, "normal"}


def test_stray_ids_lie_at_borders_and_change_no_mask(folder):
    found = members(folder / "visa.tar")
    stray = 0
    for index in range(TINY.visa_anomaly):
        classes = visa_photograph(PARTS["gelcaps"], TINY, "anomaly", index).classes
        stored = pixels(found[f"gelcaps/Data/Masks/Anomaly/{index:03d}.png"])
        assert np.array_equal(stored > 0, classes > 0)
        changed = stored != classes
        inner = np.pad(classes > 0, 1)
        interior = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        assert not (changed & interior).any()
        stray += changed.sum()
    assert stray > 0


def test_mvtec_layout(folder):
    found = members(folder / "mvtec.tar.xz")
    expected = {"license.txt"}
    for name in TINY.mvtec_categories:
        expected |= {f"{name}/train/good/{i:03d}.png" for i in range(4)}
        expected |= {f"{name}/test/good/{i:03d}.png" for i in range(2)}
        for kind in PARTS[name].defects:
            expected |= {f"{name}/test/{kind}/000.png", f"{name}/ground_truth/{kind}/000_mask.png"}
    assert set(found) == expected
    for name, data in found.items():
        if name.endswith("_mask.png"):
            mask = pixels(data)
            image = pixels(found[name.replace("ground_truth", "test").replace("_mask", "")])
            assert set(np.unique(mask)) == {0, 255} and mask.shape == image.shape[:2]
            assert image.ndim == (2 if name.startswith("gear") else 3)


def test_class_folders(folder):
    found = members(folder / "classes.tar")
    assert Counter(name.split("/")[1] for name in found) == dict.fromkeys(
        list(archives.corpus.CLASSES)[:4], 5
    )
    assert all(name.startswith("train/") and name.endswith(".JPEG") for name in found)
    assert {pixels(data).shape for data in found.values()} == {(40, 40, 3)}


def test_members_carry_nothing_of_the_machine(folder):
    for name in WRITERS:
        with tarfile.open(folder / name) as tar:
            stated = {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in tar.getmembers()}
        assert stated == {(archives._TIME, 0, 0, "", "")}


def test_an_interrupted_archive_leaves_nothing_and_keeps_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "classes.tar"
    target.write_bytes(b"old")

    def fail(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(archives.corpus, "class_image", fail)
    with pytest.raises(KeyboardInterrupt):
        write_classes(target, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["classes.tar"] and target.read_bytes() == b"old"


def test_full_size_images_are_the_recorded_ones():
    """An anomalous image of each object, as the demo draws it; docs/data-demo.md has the whole archives."""
    options, digest = DemoOptions(), hashlib.sha256()
    for name in options.visa_objects:
        digest.update(archives.encode_jpeg(visa_photograph(PARTS[name], options, "anomaly", 0).image))
    for name in options.mvtec_categories:
        shot = mvtec_photograph(PARTS[name], options, f"test/{next(iter(PARTS[name].defects))}", 0)
        digest.update(archives.encode_png(shot.image))
    assert digest.hexdigest() == "6390b2a8482aa5827bd1918179cee5b4ceef8427a62c1ae20d85ce3cead7e39d"
