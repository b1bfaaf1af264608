"""A few real steps of the method and the detector of docs/extending.md, from the folder that has them; prints
what they did as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from spd.backbones.files import load
from spd.data import corpus
from spd.methods.build import build
from spd.methods.options import SPDOptions, parse_recipe
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings


def byol(folder):
    rng = np.random.default_rng(0)
    images = corpus.from_arrays(rng.integers(0, 256, (16, 3, 24, 24), dtype=np.uint8), np.arange(16) % 2)
    view = {"size": 16}
    recipe = parse_recipe(
        {
            **{"method": "mypackage.byol:BYOL", "projector": (8, 6)},
            **{"batch": 8, "steps": 3, "log_interval": 1},
            "views": {"strong": view, "weak": view},
        }
    )
    losses = {}
    for name, eta in (("byol", 0.0), ("byol_spd", 0.1)):
        outputs = Outputs.in_folder(folder / name)
        settings = Settings(architecture="resnet10_w4", recipe=recipe, spd=SPDOptions(eta=eta), seed=0)
        pretrain(images, settings, outputs, device="cpu", progress=False)
        assert load(outputs.backbone)[1].architecture == "resnet10_w4"
        losses[name] = [json.loads(line)["loss"] for line in outputs.history.open()]
    model = build("resnet10_w4", recipe, classes=2)
    weight, target = model.projector[0].weight, model.target[1][0].weight
    moved = []
    for progress in (1e-9, 1.0):
        target.data.copy_(weight)
        weight.data += 1
        model.after_step(progress)
        moved.append(float((1 + target - weight).mean()))
    return {"losses": losses, "moved": moved, "momentum": recipe.target_momentum}


def knn():
    from sklearn.neighbors import NearestNeighbors

    from spd.detectors.registry import DETECTORS, build

    name = "mypackage.knn:KNN"
    rng = np.random.default_rng(0)
    train, test = ({"a": rng.normal(size=(n, 5, 6, 6)).astype(np.float32)} for n in (7, 3))
    options = DETECTORS[name].options(blur_sigma=0, neighbours=4)
    scores, maps = build(name, options).fit(train).score(test, (6, 6))
    patches = [x["a"].transpose(0, 2, 3, 1).reshape(-1, 5) for x in (train, test)]
    distances, _ = NearestNeighbors(n_neighbors=4).fit(patches[0]).kneighbors(patches[1])
    expected = distances[:, -1].reshape(3, 6, 6)
    return {
        "maps": float(np.abs(maps - expected).max()),
        "images": float(np.abs(scores - expected.max((1, 2))).max()),
        "label": DETECTORS[name].label,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"byol": byol(Path(sys.argv[1])), "knn": knn()}))
