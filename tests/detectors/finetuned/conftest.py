import json

import numpy as np
import pytest
import torch

from spd.backbones.architectures import build
from spd.backbones.files import export
from spd.tensors import write_tensors

TRAIN, TEST, SIZE = 8, 6, 32  # images of each class and split


def bright_spot(rng, anomalous):
    """uint8 (3, SIZE, SIZE) noise and its mask; an anomaly has a bright square at a random place."""
    image = rng.integers(80, 120, (3, SIZE, SIZE), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    if anomalous:
        top, left = rng.integers(2, SIZE - 12, 2)
        image[:, top : top + 10, left : left + 10] = 230
        mask[top : top + 10, left : left + 10] = 1
    return image, mask


@pytest.fixture(scope="session")
def make_cache(tmp_path_factory):
    """make_cache(objects, without_masks=()) -> path of an image cache with bright spots as anomalies."""

    def make(objects, without_masks=()):
        rows, tensors = {}, {}
        for name in objects:
            rng = np.random.default_rng(sum(name.encode()))
            rows[name], images, masks = [], [], []
            for split, count in (("train", TRAIN), ("test", TEST)):
                for i in range(2 * count):
                    label = ("normal", "anomaly")[i % 2]
                    image, mask = bright_spot(rng, label == "anomaly")
                    defect = "spot" if label == "anomaly" else ""
                    rows[name].append([name, split, label, defect, f"{name}/{split}/{i}.png", ""])
                    images.append(image)
                    masks.append(mask)
            tensors[f"{name}/images"] = np.stack(images)
            if name not in without_masks:
                tensors[f"{name}/masks"] = np.stack(masks)
        path = tmp_path_factory.mktemp("cache") / "images.safetensors"
        geometry = {"resize": SIZE, "mode": "square"}
        metadata = {"rows": json.dumps(rows), "geometry": json.dumps(geometry), "split_hash": '"abc"'}
        write_tensors(path, tensors, metadata)
        return path

    return make


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    """Path of a small ResNet with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("backbone") / "seed0.safetensors"
    export(build("resnet10_w16"), path, architecture="resnet10_w16", metadata={})
    return path
