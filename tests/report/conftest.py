"""Hand-made cells: every number in a table of these can be checked on paper."""

import copy
import json

import pytest

from spd.report.cells import read_cells
from spd.report.options import TableOptions

PROVENANCE = {
    "preset": "paper",
    "code": "0123456789ab",
    "spd_version": "0.1.0",
    "commit": "abc1234",
    "commit_date": "2022-10-23",
    "split_hash": "5" * 64,
    "data_fingerprint": "d" * 64,
    "checkpoint": "c" * 64,
    "geometry": {"resize": [256, 256], "crop": 224},
    "metric": "AU-PR = trapezoid",
    "run_key": "detect/x",
}


def content(name="sup", *, classification=None, segmentation=None, **changes):
    """A cell file's content. `classification`, `segmentation`: object -> metrics (fractions); `more`: object
    -> further keys of its results; `label`: the pre-training's method as shown."""
    provenance = PROVENANCE | changes.pop("provenance", {})
    label, spd = changes.pop("label", "Sup"), changes.pop("spd", "none")
    more = changes.pop("more", {})
    objects = sorted({*(classification or {}), *(segmentation or {})})
    pretraining = {
        "name": name,
        "method": label,
        "spd": spd,
        "backbone": changes.pop("backbone", "resnet50"),
        "labels": changes.pop("labels", True),
        "seed": changes.pop("seed", 0),
    }
    return {
        "schema": 1,
        "dataset": "VisA",
        "setup": "1cls",
        "detector": "PaDiM",
        "profile": "paper",
        "pretraining": pretraining,
        "shots": None,
        "draw": None,
        "objects": {
            o: {
                "n_train": 9,
                "n_test_normal": 4,
                "n_test_anomaly": 6,
                "classification": (classification or {}).get(o),
                "segmentation": (segmentation or {}).get(o),
                **more.get(o, {}),
            }
            for o in objects
        },
        "provenance": provenance,
        **changes,
    }


@pytest.fixture
def write_cells(tmp_path):
    """Writes contents as cell files and returns their paths."""

    def write(*contents):
        folder = tmp_path / "cells"
        folder.mkdir(exist_ok=True)
        paths = []
        for one in contents:
            path = folder / f"{len(list(folder.iterdir()))}.json"
            path.write_text(json.dumps(copy.deepcopy(one)))
            paths.append(path)
        return paths

    return write


@pytest.fixture
def cells(write_cells):
    """Contents -> validated cells, through files."""
    return lambda *contents: read_cells(write_cells(*contents))


@pytest.fixture(scope="session")
def cell_content():
    return content


@pytest.fixture
def options():
    """Table options with defaults for what a test does not care about."""

    def make(**changes):
        defaults = {"title": "A table", "datasets": ["VisA"], "detector": "padim", "rows": ["sup", "sup_spd"]}
        return TableOptions.model_validate(defaults | changes)

    return make
