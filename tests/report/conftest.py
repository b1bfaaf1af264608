"""Hand-made cells, whose tables can be checked on paper, and a small run with images, maps and a page."""

import copy
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from spd.data.manifest import COLUMNS as MANIFEST
from spd.report.cells import read_cells
from spd.report.claims import write_claims
from spd.report.options import TableOptions
from spd.report.qualitative import write_figures
from spd.report.scored import Scored
from spd.report.site import Backbone, Sources, TableFiles, read_table, write_site
from spd.report.tables import write_overview, write_table
from spd.tensors import write_tensors
from workflow_scripts.common.records import write_record

SPLIT = "5" * 64
PROVENANCE = {
    "preset": "paper",
    "code": "0123456789ab",
    "spd_version": "0.1.0",
    "commit": "abc1234",
    "commit_date": "2022-10-23",
    "split_hash": SPLIT,
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


class Run:
    """Files of a finished run below a folder, made from names and seeded noise."""

    def __init__(self, folder, cell_content):
        self.folder, self.cell_content = folder, cell_content
        self.out = folder / "results"
        self.generator = np.random.default_rng(0)

    def images(self, objects, n, side, masks=True, defect="scratch"):
        tensors, rows = {}, {}
        for name in objects:
            smooth = self.generator.integers(0, 256, (n, side // 4, side // 4, 3)).astype(np.uint8)
            images = np.stack(
                [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in smooth]
            )
            tensors[f"{name}/images"] = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            if masks:
                tensors[f"{name}/masks"] = (images[..., 0] > 200).astype(np.uint8)
            rows[name] = [
                [name, "test", "anomaly" if i else "normal", defect if i else "", f"{name}/{i}.png", ""]
                for i in range(n)
            ]
        assert len(MANIFEST) == 6
        path = self.folder / "images.safetensors"
        metadata = {
            "rows": json.dumps(rows),
            "split_hash": json.dumps(SPLIT),
            "geometry": "{}",
        }
        write_tensors(path, tensors, metadata)
        return path

    def maps(self, name, objects, n, side):
        tensors = {}
        for one in objects:
            coarse = self.generator.random((n, max(side // 8, 2), max(side // 8, 2))).astype(np.float32)
            maps = [cv2.resize(m, (side, side), interpolation=cv2.INTER_CUBIC) for m in coarse]
            tensors[f"{one}/maps"] = np.stack(maps).astype(np.float16)
            tensors[f"{one}/scores"] = self.generator.random(n).astype(np.float32)
        path = self.folder / f"{name}.maps.safetensors"
        write_tensors(path, tensors, {"split_hash": json.dumps(SPLIT), "exponents": "{}"})
        return path

    def full_size(self):
        """Path of the page of 12 objects of 224 pixels, 16 pre-trainings, and as many images as it shows."""
        rows = [(f"p{i}{s}", f"Method {i}", s or "none", "resnet50") for i in range(8) for s in ("", "spd")]
        sources = self.sources([f"object{i}" for i in range(12)], rows, n=6, side=224, figures=False)
        return write_site(sources, self.out, preset="demo")

    def sources(
        self, objects, pretrainings, *, n=7, side=24, preset="demo", dataset="VisA", masks=True, figures=True
    ):
        """pretrainings: (name, label, spd variant, backbone)."""
        images = self.images(objects, n, side, masks)
        cells, scored, backbones = [], [], []
        for i, (name, label, spd, backbone) in enumerate(pretrainings):
            numbers = {
                o: {"AU-PR": 0.5 + i / 100 + j / 1000, "AU-ROC": 0.9 - j / 100} for j, o in enumerate(objects)
            }
            content = self.cell_content(
                name, label=label, spd=spd, backbone=backbone, dataset=dataset,
                classification=numbers, segmentation=numbers if masks else None,
                provenance={"preset": preset, "run_key": f"cell/{dataset}/{name}", "split_hash": SPLIT},
            )  # fmt: skip
            path = self.folder / f"cell{i}.json"
            path.write_text(json.dumps(content))
            cells.append(path)
            scored.append(Scored(read_cells([path])[0], images, self.maps(f"p{i}", objects, n, side)))
            history = self.folder / f"history{i}.jsonl"
            lines = [
                {"step": s, "loss": 3 / (s + 1) + i, "embedding_std": 0.9, "cos_plus": 0.8, "cos_minus": 0.1}
                for s in range(20)
            ]
            history.write_text("".join(json.dumps(line) + "\n" for line in lines))
            record = self.folder / f"record{i}.json"
            params = {"method": label, "spd": spd, "backbone": backbone, "seed": 0}
            write_record(
                record, key=f"backbone/{name}/seed0", experiment="backbones", name=f"{name} seed0",
                params=params, metrics={"final/knn": 0.5, "final/linear": 0.625} | NOTED.get(name, {}),
                provenance={
                    "code": "0123456789ab", "checkpoint": "c" * 64, "protocol": "central crops",
                    "notes": ["it guesses"] if name in NOTED else [],
                },
            )  # fmt: skip
            backbones.append(Backbone(record, history))
        options = TableOptions(
            title=f"Table of {dataset}", datasets=[dataset], detector="padim",
            rows=[name for name, *_ in pretrainings],
        )  # fmt: skip
        tables = self.out / "tables"
        write_table([one.cell for one in scored], "padim_1class", options, tables)
        write_claims({"padim_1class": read_table(tables / "padim_1class.csv")}, tables, preset=preset)
        counts = pd.DataFrame(
            {
                "dataset": dataset, "setup": "1cls", "object": objects, "split": "test", "label": "normal",
                "found": range(len(objects)), "stated": 1,
            }
        )  # fmt: skip
        write_overview(counts, "dataset_overview", tables)
        folder = self.out / "figures"
        if figures:
            write_figures(scored[:2], {"a": backbones[0].history}, folder)
        return Sources(
            [TableFiles("padim_1class", options, tables / "padim_1class.csv", cells)],
            tables / "dataset_overview.csv", tables / "claims.csv", backbones, scored, folder, ["A notice."],
        )  # fmt: skip


NOTED = {"sup_spd": {"final/perturbed_accuracy": 0.504}}
"""A pre-training whose judging ended in a note."""

FOUR = [
    ("sup", "Sup", "none", "resnet50"), ("sup_spd", "Sup", "spd", "resnet50"),
    ("moco", "MoCo", "none", "resnet50"), ("moco_spd", "MoCo", "spd", "resnet50"),
]  # fmt: skip
OBJECTS = ["candle", "pcb1", "pcb10", "pcb2"]


@pytest.fixture(scope="session")
def make_run():
    """`make_run(folder)`: the files of a run are made below a folder by its method `sources`."""
    return lambda folder: Run(folder, content)


@pytest.fixture(scope="session")
def run(tmp_path_factory, make_run):
    """A small run, its page written."""
    made = make_run(tmp_path_factory.mktemp("run"))
    made.objects, made.rows = OBJECTS, FOUR
    made.sources_ = made.sources(OBJECTS, FOUR)
    made.page = write_site(made.sources_, made.out, preset="demo")
    made.text = made.page.read_text()
    return made
