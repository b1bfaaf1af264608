import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from demo_data import archives
from demo_data.archives import MVTEC, VISA, training_images, write_classes, write_mvtec, write_visa
from spd.data.demo_options import DemoOptions
from spd.data.readers import class_folders, mvtec, visa

TINY = DemoOptions(
    scale=0.4, visa_normal=10, visa_anomaly=10, mvtec_train_good=4, mvtec_test_good=2, mvtec_per_defect=1,
    classes=4, images_per_class=5, class_size=40,
)  # fmt: skip
WRITERS = {"visa.tar": write_visa, "mvtec.tar.xz": write_mvtec, "classes.tar": write_classes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The archives, and each unpacked into a folder of its name."""
    folder = tmp_path_factory.mktemp("demo")
    for name, write in WRITERS.items():
        write(folder / name, TINY)
        with tarfile.open(folder / name) as tar:
            tar.extractall(folder / name.split(".")[0], filter="data")
    return folder


def files(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("name", ["mvtec.tar.xz", "classes.tar"])
def test_the_same_options_give_the_same_bytes_and_another_seed_other_images(folder, tmp_path, name):
    WRITERS[name](tmp_path / name, TINY)
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    WRITERS[name](tmp_path / "other.tar", TINY.model_copy(update={"seed": 1}))
    with tarfile.open(tmp_path / "other.tar") as tar:
        other = {m.name: tar.extractfile(m).read() for m in tar if not m.name.endswith((".txt", "_mask.png"))}
    root = folder / name.split(".")[0]
    assert other.keys() <= files(root)
    assert all((root / member).read_bytes() != data for member, data in other.items())


def test_visa_layout(folder):
    expected = {"LICENSE-DATASET", *(f"split_csv/{s}.csv" for s in ("1cls", "2cls_highshot", "2cls_fewshot"))}
    for name in VISA:
        expected.add(f"{name}/image_anno.csv")
        for kind in ("Images/Normal/{}.JPG", "Images/Anomaly/{}.JPG", "Masks/Anomaly/{}.png"):
            expected |= {f"{name}/Data/" + kind.format(f"{i:03d}") for i in range(10)}
    assert files(folder / "visa") == expected
    notice = (folder / "visa/LICENSE-DATASET").read_text()
    assert "generated" in notice and "free of rights" in notice


@pytest.mark.parametrize("setup", ["1cls", "2cls_highshot", "2cls_fewshot"])
def test_visa_is_read_as_it_was_written(folder, setup):
    """By the project's reader: shares of VisA's splits, defect names, class ids of the masks."""
    manifest = visa.read(folder / "visa", setup)
    assert manifest.objects == sorted(VISA)
    shares = {"1cls": (9, 0, 1, 10), "2cls_highshot": (6, 6, 4, 4), "2cls_fewshot": (2, 2, 8, 8)}
    assert all(tuple(counts[1:]) == shares[setup] for counts in manifest.counts().to_numpy().tolist())
    for row in (row for row in manifest if row.label == "anomaly"):
        mask = pixels(folder / "visa" / row.mask)
        types = [defect.replace("_", " ") for defect in VISA[row.object].defects]
        stated = {types.index(defect) + 1 for defect in row.defect.split(", ")}
        assert mask.shape == pixels(folder / "visa" / row.image).shape[:2]
        assert set(np.unique(mask)) - {0} <= stated and mask.any()
    both = [row.defect for row in manifest if ", " in row.defect]
    assert len(both) == len(VISA)  # of 10 anomalous images the sixth
    found = {(row.object, defect) for row in manifest for defect in row.defect.split(", ") if defect}
    assert len(found) == sum(len(part.defects) for part in VISA.values())


@pytest.mark.parametrize(
    ("count", "one", "high", "few"),
    [(1000, 900, 600, 200), (503, 453, 302, 101), (DemoOptions().visa_normal, 90, 60, 20)],
)
def test_splits_round_as_visas_own_and_nest(count, one, high, few):
    train = training_images(DemoOptions(), "board", "normal", count)
    assert [len(train[s]) for s in ("1cls", "2cls_highshot", "2cls_fewshot")] == [one, high, few]
    assert train["2cls_fewshot"] < train["2cls_highshot"]


def test_mvtec_layout(folder):
    root = folder / "mvtec"
    expected = {"license.txt", *(f"weave/train/good/{i:03d}.png" for i in range(4))}
    expected |= {f"weave/test/good/{i:03d}.png" for i in range(2)}
    for defect in MVTEC["weave"].defects:
        expected |= {f"weave/test/{defect}/000.png", f"weave/ground_truth/{defect}/000_mask.png"}
    assert files(root) == expected
    for row in (row for row in mvtec.read(root) if row.label == "anomaly"):
        mask = pixels(root / row.mask)
        assert set(np.unique(mask)) == {0, 255} and mask.shape == pixels(root / row.image).shape[:2]


def test_class_folders(folder):
    manifest = class_folders.read(folder / "classes")
    assert Counter(manifest.rows.object) == dict.fromkeys(list(archives.CLASSES)[:4], 5)
    assert all(path.endswith(".JPEG") for path in manifest.rows.image)
    assert {pixels(folder / "classes" / path).shape for path in manifest.rows.image} == {(40, 40, 3)}


def test_an_interrupted_archive_leaves_nothing_and_keeps_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "classes.tar"
    target.write_bytes(b"old")

    def fail(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "class_image", fail)
    with pytest.raises(KeyboardInterrupt):
        write_classes(target, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["classes.tar"] and target.read_bytes() == b"old"
