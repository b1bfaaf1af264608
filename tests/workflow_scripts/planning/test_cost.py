"""The cost model against figures that others published, and against what it must do by construction."""

from pathlib import Path

import pytest
import torch

from spd.methods.options import MoCoRecipe, SimCLRRecipe, SimSiamRecipe, SPDOptions, SupervisedRecipe
from workflow_scripts.planning import cost

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"


@pytest.mark.parametrize(("architecture", "gmacs"), [("resnet50", 4.09), ("wide_resnet50_2", 11.40)])
def test_flops_of_supervised_training_are_torchvisions(architecture, gmacs):
    # torchvision's table of weights: GFLOPS (multiply-adds) of one forward pass at 224 px
    counted = cost.flops_of(architecture, SupervisedRecipe())
    first = 2 * 112 * 112 * 64 * 3 * 49 / 1e9  # no gradient for the image: the first convolution counts twice
    assert counted / 1e9 == pytest.approx(3 * 2 * gmacs - first, rel=0.003)


def test_views_and_encoders_add_up():
    alone = cost.flops_of("resnet50", SupervisedRecipe())
    siam, moco, simclr = (cost.flops_of("resnet50", r()) for r in (SimSiamRecipe, MoCoRecipe, SimCLRRecipe))
    assert siam / alone == pytest.approx(2, rel=0.02)
    assert simclr / alone == pytest.approx(2, rel=0.02)
    assert moco / alone == pytest.approx(1 + 1 / 3, rel=0.02)  # keys: forward only
    term = SPDOptions()
    assert cost.flops_of("resnet50", SimSiamRecipe(), term) / siam == pytest.approx(2, rel=0.01)
    frozen = SPDOptions(stop_gradient="both")  # its two views are forward passes only
    assert cost.flops_of("resnet50", SimSiamRecipe(), frozen) / alone == pytest.approx(2 + 2 / 3, rel=0.02)


def test_a_published_training_costs_what_it_took():
    # FFCV-SSL: 100 epochs of SimCLR in 11.9 h on 8 A100; the recipe drops each epoch's incomplete batch
    least, most = cost.gpu_hours("resnet50", SimCLRRecipe())
    counted = cost.cost("resnet50", SimCLRRecipe())
    views = counted.images * counted.view_bytes / (0.15 * 2039e9) / 3600
    assert counted.images == 100 * (cost.IMAGENET // 4096) * 4096
    assert most - views == pytest.approx(8 * 11.9 * counted.images / (100 * cost.IMAGENET), rel=1e-6)
    assert 0 < least < most


PERFORMANCE = CONFIG.parent / "docs" / "performance.md"
MEASURED = {  # rows of docs/performance.md's table of an H200, whose memory has 4.8 TB/s (data sheet)
    "supervised + SPD": (SupervisedRecipe(), SPDOptions()),
    "simsiam + SPD": (SimSiamRecipe(), SPDOptions()),
    "moco + SPD": (MoCoRecipe(), SPDOptions()),
    "simclr + SPD": (SimCLRRecipe(), SPDOptions()),
}


def test_the_share_that_views_reached_is_the_lowest_that_was_measured():
    rows = [line.strip("| ").split(" | ") for line in PERFORMANCE.read_text().splitlines()]
    reached = {}
    for cells in rows:
        if cells[0] in MEASURED and cells[1] == "128":
            recipe, spd = MEASURED[cells[0]]
            seconds = float(cells[7].rstrip("%")) / 100 / float(cells[2])
            reached[cells[0]] = cost.view_traffic(*cost.seen_views(recipe, spd)) / seconds / 4.8e12
    assert reached.keys() == MEASURED.keys()
    assert min(reached.values()) == pytest.approx(cost.REACHED, abs=0.005)


def test_hours_follow_images_and_steps():
    recipe = SimSiamRecipe()
    once = cost.gpu_hours("resnet50", recipe, images=51_200)
    twice = cost.gpu_hours("resnet50", recipe, images=102_400)
    assert twice == pytest.approx([2 * hours for hours in once])
    steps = recipe.model_copy(update={"steps": 10_000, "epochs": 1})
    assert cost.gpu_hours("resnet50", steps, images=51_200) == pytest.approx(once)


def test_no_rate_no_hours():
    with pytest.raises(ValueError, match="no published rate for 'H999'; there are A100, V100"):
        cost.gpu_hours("resnet18_w16", SimSiamRecipe(), gpu="H999")


def test_traffic_counts_what_an_operation_reads_and_writes():
    a, b = torch.empty(100, device="meta"), torch.empty(100, device="meta")
    with cost.Traffic() as traffic:
        (a + b).view(10, 10)
    assert (traffic.bytes, traffic.operations) == (3 * 400, 1)


def test_the_table_has_all_pretrainings_and_says_its_assumptions(monkeypatch):
    monkeypatch.setattr(cost, "flops_of", lambda *_: 1e9)
    monkeypatch.setattr(cost, "view_traffic", lambda *_: 1e6)
    text = cost.table(CONFIG, "paper")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 16 + 1
    assert (
        "simsiam_xent" in text
        and "FFCV-SSL" in text
        and "at 60% of the" in text
        and "15% for the most" in text
    )
