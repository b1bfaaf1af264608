"""Operations and bytes against figures that others published, real steps, and what was measured."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spd.backbones.architectures import build
from spd.detectors.finetuned.options import UNetOptions
from spd.detectors.finetuned.unet import UNet
from spd.methods.options import (
    MoCoRecipe,
    SimCLRRecipe,
    SimSiamRecipe,
    SPDOptions,
    SupervisedRecipe,
    seen_views,
)
from workflow_scripts.planning.counting import (
    Traffic,
    fine_tuning_flops,
    forward,
    training_flops,
    view_bytes,
)
from workflow_scripts.planning.rates import PUBLISHED, REACHED

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize(("architecture", "gmacs"), [("resnet50", 4.09), ("wide_resnet50_2", 11.40)])
def test_flops_of_supervised_training_are_torchvisions(architecture, gmacs):
    # torchvision's table of weights: GFLOPS (multiply-adds) of one forward pass at 224 px
    counted = training_flops(architecture, SupervisedRecipe())
    first = 2 * 112 * 112 * 64 * 3 * 49 / 1e9  # no gradient for the image: the first convolution counts twice
    assert counted / 1e9 == pytest.approx(3 * 2 * gmacs - first, rel=0.003)
    assert forward(architecture, (224, 224))[0] / 2e9 == pytest.approx(gmacs, rel=0.003)


def test_views_and_encoders_add_up():
    alone = training_flops("resnet50", SupervisedRecipe())
    siam, moco, simclr = (
        training_flops("resnet50", recipe()) for recipe in (SimSiamRecipe, MoCoRecipe, SimCLRRecipe)
    )
    assert siam / alone == pytest.approx(2, rel=0.02)
    assert simclr / alone == pytest.approx(2, rel=0.02)
    assert moco / alone == pytest.approx(1 + 1 / 3, rel=0.02)  # keys: forward only
    assert training_flops("resnet50", SimSiamRecipe(), SPDOptions()) / siam == pytest.approx(2, rel=0.01)
    frozen = SPDOptions(stop_gradient="both")  # its two views are forward passes only
    assert training_flops("resnet50", SimSiamRecipe(), frozen) / alone == pytest.approx(2 + 2 / 3, rel=0.02)


def test_docs_say_the_rates_that_gpus_kept_up():
    page = (DOCS / "cost.md").read_text()
    for one in PUBLISHED:
        flops = training_flops("resnet50", one.recipe)
        assert (
            f"* {one.gpu}: {one.images_per_second:,.0f} images/s a GPU x {flops / 1e9:.1f} GFLOP = "
            f"{one.images_per_second * flops / 1e12:.1f} TFLOP/s kept up."
        ) in page


MEASURED = {  # rows of docs/performance.md's table of an H200, whose memory has 4.8 TB/s (data sheet)
    "supervised + SPD": SupervisedRecipe(),
    "simsiam + SPD": SimSiamRecipe(),
    "moco + SPD": MoCoRecipe(),
    "simclr + SPD": SimCLRRecipe(),
}


def test_the_share_that_views_reached_is_the_lowest_that_was_measured():
    reached = {}
    for line in (DOCS / "performance.md").read_text().splitlines():
        cells = line.strip("| ").split(" | ")
        if cells[0] in MEASURED and cells[1] == "128":
            seconds = float(cells[7].rstrip("%")) / 100 / float(cells[2])
            counted = view_bytes(*seen_views(MEASURED[cells[0]], SPDOptions()))
            reached[cells[0]] = counted / seconds / 4.8e12
    assert reached.keys() == MEASURED.keys()
    assert min(reached.values()) == pytest.approx(REACHED, abs=0.005)


def test_traffic_counts_what_an_operation_reads_and_writes():
    a, b = torch.empty(100, device="meta"), torch.empty(100, device="meta")
    with Traffic() as traffic:
        (a + b).view(10, 10)
    assert (traffic.bytes, traffic.operations) == (3 * 400, 1)


def test_fine_tuning_counts_what_a_real_scoring_and_training_count():
    options = UNetOptions(decoder_channels=(8, 8, 8, 8, 8))
    network = UNet(build("resnet10_w16"), options)
    images = torch.randn(2, 3, 64, 64)
    with FlopCounterMode(display=False) as scored, torch.no_grad():
        network.eval()(images)
    with FlopCounterMode(display=False) as step:
        network.train()(images).mean().backward()
    counted = fine_tuning_flops("resnet10_w16", options, (64, 64))
    assert counted == (step.get_total_flops() / 2, scored.get_total_flops() / 2)
