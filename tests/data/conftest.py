"""Small generated data sets in the layouts of the published ones, and the door to real ones."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image


@pytest.fixture
def spd_data():
    """The folder of real test images."""
    folder = os.environ.get("SPD_DATA")
    if not folder:
        pytest.skip("SPD_DATA names no folder with real images")
    return Path(folder)


DEFECTS = ("bent, rusty", "bent", "rusty")


def texture(seed, size=(96, 80)):
    """Noise, smooth enough to survive resizing and JPEG: uint8 (H, W, 3), another one for each seed."""
    width, height = size
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def images():
    """The functions texture(seed, size) and save(path, pixels)."""

    class Images:
        pass

    Images.texture, Images.save = staticmethod(texture), staticmethod(save)
    return Images


@pytest.fixture
def visa_folder(tmp_path):
    """VisA's layout: bolts and nuts, 4 normal and 3 anomalous images each, their basenames colliding."""
    root = tmp_path / "visa"
    splits = {setup: [] for setup in ("1cls", "2cls_highshot", "2cls_fewshot")}
    trained = {"1cls": (3, 0), "2cls_highshot": (2, 2), "2cls_fewshot": (1, 1)}  # normal, anomaly
    for number, name in enumerate(("bolts", "nuts")):
        annotations = []
        for kind, count, label in (("Normal", 4, "normal"), ("Anomaly", 3, "anomaly")):
            for i in range(count):
                image = f"{name}/Data/Images/{kind}/{i:03d}.JPG"
                save(root / image, texture(100 * number + 10 * count + i))
                mask = ""
                if label == "anomaly":
                    mask = f"{name}/Data/Masks/Anomaly/{i:03d}.png"
                    ids = np.zeros((80, 96), np.uint8)
                    ids[10:20, 30 : 40 + i] = i + 1
                    save(root / mask, ids)
                annotations.append((image, "normal" if label == "normal" else DEFECTS[i], mask))
                for setup, rows in splits.items():
                    train = i < trained[setup][label == "anomaly"]
                    rows.append((name, "train" if train else "test", label, image, mask))
        pd.DataFrame(annotations, columns=["image", "label", "mask"]).to_csv(
            root / name / "image_anno.csv", index=False
        )
    (root / "split_csv").mkdir()
    for setup, rows in splits.items():
        table = pd.DataFrame(rows, columns=["object", "split", "label", "image", "mask"])
        table.to_csv(root / "split_csv" / f"{setup}.csv", index=False)
    return root


@pytest.fixture
def mvtec_folder(tmp_path):
    """MVTec-AD's layout: a grey object whose masks carry `_mask`, and a colour object whose masks do not."""
    root = tmp_path / "mvtec"
    for name, suffix in (("felt", "_mask"), ("gear", "")):
        for folder, count in (("train/good", 3), ("test/good", 2), ("test/cut", 2), ("test/hole", 1)):
            for i in range(count):
                pixels = texture(1000 + len(list(root.rglob("*.png"))))
                save(root / name / folder / f"{i:03d}.png", pixels[..., 0] if name == "felt" else pixels)
                if folder in ("test/cut", "test/hole"):
                    mask = np.zeros((80, 96), np.uint8)
                    mask[5:9, 7:30] = 255
                    truth = folder.replace("test", "ground_truth")
                    save(root / name / truth / f"{i:03d}{suffix}.png", mask)
    (root / "license.txt").write_text("generated")
    return root
