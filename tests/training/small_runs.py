"""The smallest pre-trainings of every method, for the tests of the loop: a few steps on noise of 24 px."""

import numpy as np

from spd.data import corpus
from spd.methods.options import SPDOptions, parse_recipe
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings

METHODS = {
    "simsiam": {"projector": (8, 8, 8), "predictor": 4},
    "moco": {"projector": (8, 6), "queue": 16},
    "simclr": {"projector": (8, 6), "warmup_epochs": 0.5},
    "supervised": {},
}
VIEW = {"size": 16}


def images(count=34, size=24):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return corpus.from_arrays(pixels // 2 + (40 * labels)[:, None, None, None].astype(np.uint8), labels)


def recipe(method, **values):
    return parse_recipe(
        {
            "method": method,
            "batch": 8,
            "steps": 6,
            "batch_norm_group": 4,
            "views": {"strong": VIEW, "weak": VIEW | {"scale": (0.9, 1.0)}},
            "log_interval": 1,
            "checkpoint_minutes": 1000,
            **METHODS[method],
            **values,
        }
    )


def train(
    folder, recipe_, *, spd=None, seed=3, corpus_=None, architecture="resnet10_w4", init=None, **options
):
    """Runs a pre-training in `folder` and returns its summary; the outputs are backbone.safetensors and
    history.jsonl."""
    settings = Settings(
        architecture=architecture,
        recipe=recipe_,
        spd=SPDOptions(**spd) if spd is not None else None,
        seed=seed,
        init=init,
    )
    images_ = images() if corpus_ is None else corpus_
    return pretrain(
        images_, settings, Outputs.in_folder(folder), **{"device": "cpu", "progress": False, **options}
    )
