"""GPU memory counted: by hand on a small network, beside what an H200 measured, and what is said of it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from spd.config.model import load
from spd.methods.options import MoCoRecipe, SimCLRRecipe, SimSiamRecipe, SPDOptions, SupervisedRecipe
from spd.training.memory import Memory, explained, least_ranks, memory_of, saved_tensors, shortage
from spd.training.settings import Settings

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
PAPER = load(CONFIG, {"preset": "paper"})


def test_saved_tensors_of_a_small_network_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )
    x = torch.zeros(2, 3, 6, 6)
    with saved_tensors(leave_out=[*network.parameters(), *network.buffers()]) as saved:
        network(x)
    sizes = sorted((str(t.dtype), t.untyped_storage().nbytes()) for t in saved if t.numel() > 16)
    maps = 2 * 8 * 6 * 6
    assert sizes == sorted(
        [
            ("torch.float32", 4 * x.numel()),  # the convolution's input
            ("torch.float32", 4 * maps),  # BatchNorm's
            ("torch.float32", 4 * maps),  # ReLU's output, which is also the pooling's input
            ("torch.int64", 8 * maps // 4),  # the pooling's positions
        ]
    )


def test_what_a_training_keeps_whatever_its_batch():
    # ResNet-50: 25,557,032 parameters, classifier included; BatchNorm: 53,120 running values, 53 counters
    float32, bfloat16 = (
        memory_of("resnet50", SupervisedRecipe(precision=precision)) for precision in ("float32", "bfloat16")
    )
    assert float32.fixed == 4 * (3 * 25_557_032 + 53_120 + 53)
    assert bfloat16.fixed == float32.fixed + 2 * 25_557_032


# GiB at their peak on an H200 at 128 images: python benchmarks/gpu.py, torch 2.11, a single run
MEASURED = {
    ("supervised", "none"): 5.7,
    ("supervised", "spd"): 16.3,
    ("simsiam", "none"): 11.2,
    ("simsiam", "spd"): 21.8,
    ("moco", "none"): 6.8,
    ("moco", "spd"): 16.6,
    ("simclr", "none"): 11.1,
    ("simclr", "spd"): 21.6,
}


@pytest.mark.parametrize(("method", "term"), MEASURED)
def test_counted_is_within_15_percent_of_measured(method, term):
    counted = memory_of("resnet50", PAPER.recipes[method], PAPER.spd[term])
    assert counted.gib(128) == pytest.approx(MEASURED[method, term], rel=0.15)


def test_a_view_that_needs_no_gradient_saves_nothing():
    siam, alone = (memory_of("resnet50", recipe()) for recipe in (SimSiamRecipe, SupervisedRecipe))
    moco = memory_of("resnet50", MoCoRecipe())
    assert siam.image / alone.image == pytest.approx(2, rel=0.01)
    assert moco.image / alone.image == pytest.approx(1, rel=0.03)  # the keys' view itself
    frozen = memory_of("resnet50", SimSiamRecipe(), SPDOptions(stop_gradient="both"))
    assert frozen.image / siam.image == pytest.approx(1, rel=0.02)


def test_least_ranks_divide_the_batch_and_keep_groups_whole():
    one = Memory(image=2**30, fixed=0.0)  # a GiB an image
    simclr = SimCLRRecipe(batch=96)
    assert least_ranks(one, simclr, 1000) == 1
    assert least_ranks(one, simclr, 20) == 6  # 18 GiB of 20 for 16 images; 5 ranks do not divide 96
    assert least_ranks(one, MoCoRecipe(batch=96, batch_norm_group=32, queue=96), 20) is None
    assert least_ranks(one, MoCoRecipe(batch=96, batch_norm_group=32, queue=96), 40) == 3


def test_running_out_of_memory_says_how_many_gpus_would_do(monkeypatch):
    settings = Settings(architecture="resnet50", recipe=PAPER.recipes["simclr"], spd=PAPER.spd["spd"], seed=0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: type("Card", (), {"total_memory": 79 * 2**30})
    )
    device = torch.device("cuda:0")
    with pytest.raises(torch.OutOfMemoryError) as caught, explained(settings, 8, device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    said = str(caught.value)
    assert "512 images a GPU take about 85 GiB of 79; 16 GPUs would do" in said
    assert "{gpus: 16}" in said and "Tried to allocate" in said


def test_out_of_memory_where_it_should_fit_or_nothing_would_do():
    settings = Settings(architecture="resnet50", recipe=PAPER.recipes["moco"], seed=0)
    assert "does something else use this GPU?" in shortage(settings, 1, 79)
    assert "no number of GPUs that divides the batch of 256" in shortage(settings, 1, 1.5)
