"""Fine-tuning on a GPU: what a few steps learn is what they learn on the CPU."""

import numpy as np
import pytest
import torch

from spd.backbones import architectures
from spd.detectors.finetuned.evaluation import build
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.finetuned.training import Normalise, fine_tune, score

SMALL = {"min_steps": 8, "epochs": 1, "lr": 1e-3}
CLASSIFIER = ClassifierOptions(**SMALL)
UNET = UNetOptions(**SMALL, decoder_channels=(8, 8, 8, 8, 8))


def learned(detector, options, device):
    """Losses of the steps, and scores of 6 images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 3, 64, 64), np.uint8)
    targets = rng.integers(0, 2, (12, 64, 64) if detector == "unet" else 12)
    torch.manual_seed(0)
    network = build(detector, options, architectures.build("resnet10_w16"), "seed").to(device)
    normalise = Normalise((0.5,) * 3, (0.25,) * 3, device)
    placed = (torch.from_numpy(values).to(device) for values in (images, targets))
    losses = fine_tune(network, *placed, options, normalise, seed="seed")
    return losses, score(network, images[:6], normalise, device)


@pytest.mark.parametrize(("detector", "options"), [("classifier", CLASSIFIER), ("unet", UNET)])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-3), ("bfloat16", 0.1)])
def test_close_to_the_cpus(detector, options, precision, tolerance):
    losses, scores = learned(detector, options, "cpu")
    gpu = learned(detector, options.model_copy(update={"precision": precision}), "cuda")
    assert gpu[0] == pytest.approx(losses, rel=tolerance, abs=tolerance)
    assert isinstance(gpu[1], np.ndarray) and gpu[1].shape == scores.shape
    if precision == "float32":
        assert np.abs(gpu[1] - scores).max() < 0.02 * np.abs(scores).max()
