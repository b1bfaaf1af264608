"""Costs of single jobs: by hand, and against a published training."""

from pathlib import Path

import pytest

from spd.config.model import load
from workflow_scripts.planning.counting import fine_tuning_flops, training_flops
from workflow_scripts.planning.files import Images
from workflow_scripts.planning.graph import Node
from workflow_scripts.planning.rates import CORPUS_SECONDS, IMAGENET, REPORT_SECONDS
from workflow_scripts.planning.stages import Stages

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
NOWHERE = Path("no-manifests")


@pytest.fixture(scope="module")
def paper():
    return Stages(load(CONFIG, {"preset": "paper"}), NOWHERE)


def nuts(monkeypatch, costs, train, test):
    """Lets every data set have one object."""
    monkeypatch.setattr(costs, "counts", lambda *_: {"nut": Images(train, test)})


def test_a_training_takes_its_hours_divided_by_its_gpus(paper):
    work = paper.work("pretrain", {"pretraining": "moco_spd"})
    least, most = work.gpu_seconds("A100")
    assert 0 < least < most
    for gpus in (1, 8):
        node = Node("pretrain", {"pretraining": "moco_spd"}, gpus)
        assert paper.seconds(node, work) == pytest.approx((10 + least / gpus, 10 + most / gpus))


def test_a_published_training_costs_what_it_took(paper):
    # FFCV-SSL: 100 epochs of SimCLR in 11.9 h on 8 A100; the recipe drops each epoch's incomplete batch, and
    # ImageNet's val/ judges, so nothing is held out.
    work = paper.work("pretrain", {"pretraining": "simclr"})
    images = 100 * (IMAGENET // 4096) * 4096
    assert work.flops == images * training_flops("resnet50", paper.experiment.recipes["simclr"])
    network = work.gpu_seconds("A100")[1] - work.view_bytes / (0.15 * 2039e9)
    assert network / 3600 == pytest.approx(8 * 11.9 * images / (100 * IMAGENET), rel=1e-6)


def test_trainings_see_what_their_epochs_or_steps_say_of_a_corpus_without_val(monkeypatch):
    given = {"recipes": {"simsiam": {"batch": 512, "epochs": 2, "held_out": 0.1}, "moco": {"steps": 10}}}
    costs = Stages(load(CONFIG, {"preset": "paper", **given}), NOWHERE)
    nuts(monkeypatch, costs, 5700, 0)
    recipes = costs.experiment.recipes
    flops = {name: training_flops("resnet50", recipes[name]) for name in ("simsiam", "moco")}
    found = {name: costs.work("pretrain", {"pretraining": name}).flops / flops[name] for name in flops}
    assert found == pytest.approx({"simsiam": 2 * 10 * 512, "moco": 10 * 256})


def test_the_linear_protocol_takes_forward_passes_of_one_view(paper):
    work = paper.work("linear_classifier", {"pretraining": "moco"})
    # 4.09 * 10^9 multiply-adds: torchvision's model card of ResNet-50
    assert work.flops == pytest.approx(100 * IMAGENET * 2 * 4.09e9, rel=0.01)
    assert 0 < work.view_bytes < paper.work("pretrain", {"pretraining": "moco"}).view_bytes
    assert paper.work("linear_classifier", {"pretraining": "sup"}).flops == 0, "it measured its classifier"
    elsewhere = paper.work("linear_classifier", {"pretraining": "sup_torchvision"})
    assert elsewhere.flops == pytest.approx(0.9 * work.flops)


def test_fine_tuning_is_every_draw_of_each_number_of_shots(monkeypatch):
    costs = Stages(load(CONFIG, {"preset": "paper"}), NOWHERE)
    nuts(monkeypatch, costs, 600, 300)
    at = {"dataset": "visa", "part": "all", "pretraining": "sup", "detector": "unet", "profile": "paper"}
    options = costs.experiment.profile("unet", "paper").options
    step, scored = fine_tuning_flops("resnet50", options, (800, 800))
    # 20 epochs of 600 images; 200 batches of 8 for each of 5 draws of 5 and of 10 shots
    assert costs.work("finetune_highshot", at).flops == 20 * 600 * step + 300 * scored
    assert costs.work("finetune_fewshot", at).flops == 5 * 2 * (200 * 8 * step + 300 * scored)


def test_detectors_products_by_hand(monkeypatch):
    costs = Stages(load(CONFIG, {"preset": "paper"}), NOWHERE)
    nuts(monkeypatch, costs, 100, 20)
    at = {"dataset": "visa", "setup": "1cls", "part": "nut", "profile": "paper", "seed": "0"}
    # 56 x 56 positions, 100 images in 550 channels: a Gram matrix of rank 100
    padim = costs.work("detect", {**at, "detector": "padim", "pretraining": "sup"}).core_seconds
    assert padim * 30e9 == pytest.approx(2 * 56 * 56 * (550 * 100 * 120 / 2 + 100**3 / 3))
    # 28 x 28 patches an image; a tenth is kept, chosen in 128 dimensions, searched in 1024
    patchcore = costs.work("detect", {**at, "detector": "patchcore", "pretraining": "sup_wide"}).core_seconds
    assert patchcore * 30e9 == pytest.approx(2 * (78_400 * 7_840 * 128 + 20 * 784 * 7_840 * 1024))


def test_cpu_jobs_use_their_threads_and_reports_do_not(paper):
    seconds = paper.seconds(Node("corpus", {}), paper.work("corpus", {}))
    assert seconds == pytest.approx((10 + CORPUS_SECONDS * IMAGENET / 8,) * 2)
    site = Node("site", {}, local=True)
    assert paper.seconds(site, paper.work("site", {})) == (10 + REPORT_SECONDS,) * 2
