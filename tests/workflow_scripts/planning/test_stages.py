"""Costs of single jobs: sums against workflow_scripts.planning.cost, workflow_scripts.planning.disk and workflow_scripts.planning.twoclass_cost, the rest by hand."""

from pathlib import Path
from urllib.parse import quote

import pytest

from spd.config.model import load
from spd.training import memory as gpu_memory
from workflow_scripts.planning import cost, disk
from workflow_scripts.planning import twoclass_cost as twoclass
from workflow_scripts.planning.disk import Images
from workflow_scripts.planning.report import report
from workflow_scripts.planning.stages import CORPUS_SECONDS, REPORT_SECONDS, Node, Stages

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
PAPER = load(CONFIG, {"preset": "paper"})


@pytest.fixture(scope="module")
def paper():
    return Stages(PAPER, disk.published(PAPER))


def two_classes(detector):
    """Wildcards of every fine-tuning job of both 2-class tables."""
    for name in ("twoclass_fewshot", "twoclass_highshot"):
        table = PAPER.tables[name]
        for row in table.rows:
            for part in PAPER.datasets["visa"].objects:
                at = {"dataset": "visa", "part": quote(part, safe=""), "pretraining": row, "seed": "0"}
                yield name, {**at, "detector": detector, "profile": table.profiles[0]}


def one_class():
    """Wildcards of every detector job of the 1-class tables, with its geometry; shared ones once."""
    found = {}
    for table in (table for table in PAPER.tables.values() if table.detector):
        for row in table.rows:
            for profile in table.profiles:
                geometry = PAPER.detectors[table.detector][profile].geometry
                for dataset in table.datasets:
                    for part in PAPER.datasets[dataset].objects:
                        at = {"dataset": dataset, "setup": "1cls", "part": part, "pretraining": row}
                        more = {"detector": table.detector, "profile": profile, "geometry": geometry}
                        found[tuple(at.values()) + tuple(more.values())] = at | more
    return list(found.values())


def test_a_training_takes_the_cost_models_hours_divided_by_its_gpus(paper):
    row = PAPER.pretrainings["moco_spd"]
    least, most = cost.gpu_hours("resnet50", PAPER.recipes[row.recipe], PAPER.spd[row.spd])
    for gpus in (1, 8):
        node = Node("pretrain", {"pretraining": "moco_spd"}, gpus, False, ())
        found = paper.seconds(node, paper.work(node.stage, node.at))
        assert found == pytest.approx([10 + 3600 * hours / gpus for hours in (least, most)])


def test_the_linear_protocol_takes_forward_passes_of_one_view_and_is_in_no_sum(paper):
    work = paper.work("linear_classifier", {"pretraining": "moco"})
    # 4.1 * 10^9 multiply-adds: torchvision's model card of ResNet-50
    assert work.flops == pytest.approx(100 * cost.IMAGENET * 2 * 4.09e9, rel=0.01)
    assert 0 < work.view_bytes < cost.cost("resnet50", PAPER.recipes["moco"]).view_bytes * 200 * cost.IMAGENET
    assert paper.work("linear_classifier", {"pretraining": "sup"}).flops == 0, "it measured its classifier"
    elsewhere = paper.work("linear_classifier", {"pretraining": "sup_torchvision"})
    assert elsewhere.flops == pytest.approx(0.9 * work.flops)
    names = {name for table in PAPER.tables.values() for name in table.rows}
    nodes = [Node("linear_classifier", {"pretraining": name}, 1, False, ()) for name in names]
    ends = [
        sum(paper.seconds(node, paper.work(node.stage, node.at))[most] for node in nodes) for most in (0, 1)
    ]
    found = report(PAPER, small(1), disk.published(PAPER))
    least, most = (f"{seconds / 3600:,.0f}" for seconds in ends)
    assert f"judges the {len(nodes)} backbones of the tables in {least} - {most} GPU-hours" in found
    assert "linear_classifier" not in rows(found)


@pytest.mark.parametrize("detector", ["classifier", "unet"])
def test_two_class_jobs_add_up_to_the_cost_model(paper, detector):
    tables = {"twoclass_fewshot": 0.0, "twoclass_highshot": 0.0}
    for name, at in two_classes(detector):
        tables[name] += paper.work(name.replace("twoclass", "finetune"), at).flops
    costs = twoclass.plan(PAPER)
    assert tables == pytest.approx({name: costs[name, detector].flops for name in tables})


def test_files_add_up_to_the_disk_model(paper):
    whole = disk.disk(PAPER, disk.published(PAPER))
    cells = one_class()
    maps = sum(paper.work("detect", at).kept for at in cells)
    features = {tuple(sorted(at.items() - {("detector", "x")})): at for at in cells}
    once = {(at["dataset"], at["geometry"], at["part"], at["pretraining"]): at for at in features.values()}
    assert maps == whole.kept["anomaly maps"]
    assert sum(paper.work("features", at).temporary for at in once.values()) == whole.features
    rows = {at["pretraining"] for at in cells} | set(PAPER.tables["twoclass_fewshot"].rows)
    backbones = [
        paper.work("import_backbone" if PAPER.pretrainings[row].source else "pretrain", {"pretraining": row})
        for row in sorted(rows)
    ]
    assert sum(work.kept for work in backbones) == whole.kept["backbones"]
    assert paper.work("corpus", {}).kept == whole.kept["packed corpus (ImageNet)"]
    archives = [PAPER.datasets[name].archive.file for name in ("visa", "mvtec")]
    downloads = [paper.work("download", {"archive": file}).kept for file in archives]
    assert sum(downloads) == whole.kept["archives"]
    images = {(at["dataset"], at["geometry"], at["part"]): at for at in cells}
    two = [
        (setup, part)
        for setup in PAPER.datasets["visa"].setups[1:]
        for part in PAPER.datasets["visa"].objects
    ]
    more = [{"dataset": "visa", "setup": s, "part": p, "geometry": "full800"} for s, p in two]
    caches = sum(paper.work("images", at).kept for at in [*images.values(), *more])
    assert caches == whole.kept["image caches"]


def test_detectors_products_by_hand():
    experiment = load(CONFIG, {"preset": "paper"})
    stages = Stages(experiment, lambda *_: {"nut": Images(100, 20)})
    at = {"dataset": "visa", "setup": "1cls", "part": "nut", "profile": "paper", "seed": "0"}
    # 56 x 56 positions, 100 images in 550 channels: a Gram matrix of rank 100
    padim = stages.work("detect", {**at, "detector": "padim", "pretraining": "sup"}).core_flops
    assert padim == pytest.approx(2 * 56 * 56 * (550 * 100 * 120 / 2 + 100**3 / 3))
    # 28 x 28 patches an image; a tenth is kept, chosen in 128 dimensions, searched in 1024
    patchcore = stages.work("detect", {**at, "detector": "patchcore", "pretraining": "sup_wide"}).core_flops
    assert patchcore == 2 * (78_400 * 7_840 * 128 + 20 * 784 * 7_840 * 1024)


def test_cpu_jobs_use_their_threads_and_reports_do_not(paper):
    corpus = Node("corpus", {}, 0, False, ())
    seconds = paper.seconds(corpus, paper.work("corpus", {}))
    assert seconds == pytest.approx((10 + CORPUS_SECONDS * cost.IMAGENET / 8,) * 2)
    assert paper.seconds(Node("site", {}, 0, True, ()), paper.work("site", {})) == (10 + REPORT_SECONDS,) * 2


def small(gpus, left=True):
    """corpus -> two trainings -> their features -> a cell each, as nodes."""
    at = {"dataset": "visa", "setup": "1cls", "part": "candle", "geometry": "crop224", "seed": "0"}
    nodes = {0: Node("corpus", {}, 0, False, (), left=left)}
    for i, name in enumerate(("sup", "simsiam")):
        row = {**at, "pretraining": name, "detector": "padim", "profile": "paper"}
        nodes[3 * i + 1] = Node("pretrain", row, gpus, False, (0,))
        nodes[3 * i + 2] = Node("features", row, 1, False, (3 * i + 1,))
        nodes[3 * i + 3] = Node("detect", row, 0, False, (3 * i + 2,), reads=(3 * i + 2,))
    return nodes


def rows(text):
    """First cell -> the other cells of every table row."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in lines}


def test_report_counts_jobs_and_prices_gpu_hours():
    experiment = load(CONFIG, {"preset": "paper", "plan": {"gpus": [1, 2, 8], "price": 3.0}})
    found = rows(report(experiment, small(1), disk.published(experiment)))
    assert found["pretrain"][:2] == ["2", "2"] and found["**all**"][:2] == ["7", "7"]
    ends = [
        [cost.gpu_hours("resnet50", PAPER.recipes[name], None)[most] for name in ("supervised", "simsiam")]
        for most in (0, 1)
    ]
    assert found["pretrain"][2] == " - ".join(f"{sum(hours):,.0f}" for hours in ends)
    least, most = (float(value) for value in found["price of GPU-hours"][0].split(" - "))
    assert (least, most) == pytest.approx([3 * sum(hours) for hours in ends], rel=0.01)
    assert len(set(found["price of GPU-hours"])) == 1
    one, two, eight = (cell.split(" - ") for cell in found["wall time, days"])
    assert float(two[1]) < float(one[1]) and two == eight, "the longer training bounds it"
    assert float(eight[1]) == pytest.approx(max(ends[1]) / 24, rel=0.05)


def test_report_says_what_does_not_fit_what_is_done_and_what_is_unknown():
    overrides = {"preset": "paper", "datasets": {"visa": {"facts": None}}, "plan": {"gpus": [1, 8]}}
    experiment = load(CONFIG, overrides)
    found = report(experiment, small(8, left=False), disk.published(experiment))
    assert rows(found)["wall time, hours"][0] == "a training needs more"
    assert rows(found)["corpus"][:2] == ["1", "0"]
    assert "nobody knows their images before their manifests are made: visa." in found
    assert "A training takes 8 GPUs" in found


def test_report_says_which_trainings_are_too_large_for_their_gpus(monkeypatch):
    sizes = {"supervised": 2**27, "simsiam": 2**28}  # bytes an image; batches of 256 and 512
    monkeypatch.setattr(
        gpu_memory, "memory_of", lambda _, recipe, spd: gpu_memory.Memory(sizes[recipe.method], 0.0)
    )
    experiment = load(CONFIG, {"preset": "paper", "compute": {"gpus": 1}})
    found = report(experiment, small(1), disk.published(experiment))
    assert "* simsiam: 128 GiB of each of 1; 2 would do" in found and "* sup:" not in found
    more = {"gpus": 1, "trainings": {"simsiam": {"gpus": 2}}}
    experiment = load(CONFIG, {"preset": "paper", "compute": more})
    assert "Every training fits GPUs of 79 GiB" in report(experiment, small(2), disk.published(experiment))
    unknown = load(CONFIG, {"preset": "paper", "plan": {"gpu_gib": None}})
    assert "would do" not in report(unknown, small(1), disk.published(unknown))


def test_report_says_how_many_gpus_trainings_take():
    experiment = load(CONFIG, {"preset": "paper", "plan": {"gpu_gib": None}})
    nodes = small(1)
    nodes[4] = nodes[4]._replace(gpus=8)
    assert "A training takes 1 to 8 GPUs" in report(experiment, nodes, disk.published(experiment))


def test_without_gpus_only_the_time_is_left():
    experiment = load(CONFIG, {"preset": "demo"})
    nodes = {0: Node("corpus", {}, 0, False, ()), 1: Node("table", {}, 0, True, (0,))}
    found = report(experiment, nodes, disk.published(experiment))
    assert rows(found)["G"] == ["0"]
    assert "No job asks for a GPU" in found
