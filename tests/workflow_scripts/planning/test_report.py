"""What the plan of a small graph says."""

from pathlib import Path

import numpy as np
import pytest

from spd.config.model import load
from spd.training.memory import Memory
from workflow_scripts.planning import report as module
from workflow_scripts.planning.graph import Node
from workflow_scripts.planning.report import Plan, report
from workflow_scripts.planning.stages import Stages

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
NOWHERE = Path("no-manifests")


def small(gpus, left=True):
    """corpus -> two trainings -> their features -> a cell each; listed from the last to the first."""
    at = {"dataset": "visa", "setup": "1cls", "part": "candle", "geometry": "crop224", "seed": "0"}
    nodes = {0: Node("corpus", {}, left=left)}
    for i, name in enumerate(("sup", "simsiam")):
        row = {**at, "pretraining": name, "detector": "padim", "profile": "paper"}
        nodes[3 * i + 1] = Node("pretrain", row, gpus, after=(0,))
        nodes[3 * i + 2] = Node("features", row, 1, after=(3 * i + 1,))
        nodes[3 * i + 3] = Node("detect", row, after=(3 * i + 2,))
    return dict(reversed(nodes.items()))


def paper(**overrides):
    return load(CONFIG, {"preset": "paper", **overrides})


def rows(text):
    """First cell -> the other cells of every table row."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in lines}


@pytest.fixture
def lengths(monkeypatch):
    """Jobs' (least, most) seconds by their stage."""
    seconds = {"corpus": (100, 100), "pretrain": (1000, 3000), "features": (10, 20), "detect": (300, 300)}
    monkeypatch.setattr(Stages, "seconds", lambda self, node, work: seconds.get(node.stage, (0, 0)))


def test_wall_time_is_the_longest_chain_or_the_work_divided(lengths):
    plan = Plan(paper(plan={"cpus": 16}), small(1), NOWHERE)
    assert plan.longest_chain().tolist() == [1410, 3420]
    assert plan.wall_time(1).tolist() == [2020, 6040]  # two trainings and their features on one GPU
    assert plan.wall_time(8).tolist() == [1410, 3420]
    few_cores = Plan(
        paper(plan={"cpus": 8}, compute={"threads": 8}), {0: Node("detect", small(1)[3].at)}, NOWHERE
    )
    assert few_cores.wall_time(1).tolist() == [300, 300]
    # a hundred cells of 8 threads on 16 cores
    cells = {i: Node("detect", small(1)[3].at) for i in range(100)}
    assert Plan(paper(plan={"cpus": 16}), cells, NOWHERE).wall_time(1).tolist() == [15_000, 15_000]


def test_a_job_that_is_done_takes_its_disk_but_no_time(lengths):
    plan = Plan(paper(), small(1, left=False), NOWHERE)
    assert plan.longest_chain().tolist() == [1310, 3320]
    assert plan.files()["packed corpus"] == (1_281_167 + 50_000) * 3 * 256**2


def test_disk_holds_the_features_of_the_detectors_that_run_at_once(lengths):
    one = Plan(paper(plan={"cpus": 8}), small(1), NOWHERE)
    features = one.bytes[one.stages == "features"]
    assert np.ptp(features) == 0
    held = {kind: size for kind, size in one.files().items() if kind.startswith("features")}
    assert list(held.values()) == [features[0]] and "of 1 detector jobs" in next(iter(held))
    kept = Plan(paper(compute={"keep_features": True}), small(1), NOWHERE).files()
    assert kept["features"] == features.sum()


def test_report_counts_jobs_and_prices_gpu_hours(lengths):
    found = rows(report(paper(plan={"gpus": [1, 2], "price": 3.0}), small(1), NOWHERE))
    assert found["pretrain"] == ["2", "2", "0.56 - 1.7", "0"]
    assert found["**all**"] != found["detect"] == ["2", "2", "0", "1.3"]
    assert found["wall time, minutes"] == ["34 - 101", "24 - 57"]
    assert found["GPUs at work, %"] == ["100", "72 - 88"]
    assert found["price of GPU-hours"] == ["1.7 - 5", "1.7 - 5"]


def test_report_names_detectors_of_ones_own_whose_work_it_does_not_know(tmp_path, monkeypatch):
    (tmp_path / "own_knn.py").write_text(
        "from spd.detectors.base import Detector\n"
        "class KNN(Detector):\n"
        "    def fit(self, features, names=None): return self\n"
        "    def score(self, features, size, names=None): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    nodes = {number: node._replace(at={**node.at, "detector": "knn"}) for number, node in small(1).items()}
    profile = {"detector": "own_knn:KNN", "geometry": "crop224", "options": {}}
    found = report(paper(detectors={"knn": {"paper": profile}}), nodes, NOWHERE)
    assert "detectors of your own (knn) nothing is known" in found
    assert "of your own" not in report(paper(), small(1), NOWHERE)


def test_report_says_what_does_not_fit_and_what_is_unknown(lengths):
    experiment = paper(datasets={"visa": {"facts": None}}, plan={"gpus": [1, 8]})
    found = report(experiment, small(8), NOWHERE)
    assert rows(found)["wall time, minutes"][0] == "a training needs more"
    assert "images are unknown before their manifests are made: visa." in found


def test_trainings_say_what_memory_they_take_and_how_many_gpus_would_do(monkeypatch):
    sizes = {"supervised": 2**27, "simsiam": 2**28}  # bytes an image; batches of 256 and 512
    monkeypatch.setattr(module, "memory_of", lambda _, recipe, spd: Memory(sizes[recipe.method], 0.0))
    found = report(paper(), small(1), NOWHERE)
    assert rows(found)["sup"][-4:] == ["256", "1", "32", "1"]
    assert rows(found)["simsiam"][-4:] == ["512", "1", "128", "2"]
    assert "too large are simsiam: give them more" in found
    assert "all fit" in report(paper(), small(2), NOWHERE)
    unknown = report(paper(plan={"gpu_gib": None}), small(1), NOWHERE)
    assert "too large" not in unknown and "all fit" not in unknown


def test_the_linear_protocol_is_in_no_sum():
    found = report(paper(), small(1), NOWHERE)
    assert "the target `linear_protocol` judges the 17 backbones of the tables in " in found
    assert "linear_classifier" not in rows(found)


def test_without_gpus_only_the_time_is_left():
    nodes = {0: Node("corpus", {}), 1: Node("table", {}, local=True, after=(0,))}
    found = report(load(CONFIG, {"preset": "demo"}), nodes, NOWHERE)
    assert rows(found)["G"] == ["0"]
    assert "No job asks for a GPU" in found and "### Trainings" not in found
