"""Fine-tuning of one network on one set of training images, and its scores of test images."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from spd.backbones.architectures import memory_format
from spd.detectors.finetuned.options import FineTuningOptions
from spd.losses.focal import focal_loss
from spd.seeds import permutation, seed_of
from spd.training.schedules import rate

SCORED_AT_ONCE = 16


class Normalise:
    """uint8 (B, 3, H, W) -> float32 (B, 3, H, W), as the backbone was trained: (x / 255 - mean) / std."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device | str):
        mean, std = (torch.tensor(value, device=device).view(3, 1, 1) for value in (mean, std))
        self.scale, self.shift = 1 / (255 * std), mean / std

    def __call__(self, images: Tensor) -> Tensor:
        return images.float().mul_(self.scale).sub_(self.shift)


def steps_of(images: int, options: FineTuningOptions) -> int:
    """Steps of a training on so many images: `epochs` passes, at least `min_steps`."""
    return max(options.min_steps, math.ceil(options.epochs * images / min(options.batch, images)))


def order(images: int, options: FineTuningOptions, seed: str) -> np.ndarray:
    """Which images each step sees: int64 (steps, min(batch, images)).

    One random permutation after the other, cut into batches regardless of where one ends, so that each step
    has the same number of images: with 10 images and batches of 8, a last batch of 2 would give BatchNorm
    statistics of 2 images in every other step.
    """
    batch, steps = min(options.batch, images), steps_of(images, options)
    rounds = math.ceil(steps * batch / images)
    stream = torch.cat([permutation(images, seed, "order", i) for i in range(rounds)])
    return stream[: steps * batch].view(steps, batch).numpy()


def flips(steps: int, batch: int, options: FineTuningOptions, seed: str) -> np.ndarray:
    """Which images of each step are flipped: bool (steps, batch)."""
    generator = torch.Generator().manual_seed(seed_of(seed, "flip"))
    return (torch.rand(steps, batch, generator=generator) < options.flip).numpy()


def flipped(x: Tensor, which: Tensor) -> Tensor:
    """x (B, ..., W) with the rows chosen by the bool (B,) `which` mirrored left to right."""
    return torch.where(which.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)


def set_modes(network: nn.Module, options: FineTuningOptions) -> None:
    """Training mode, except for what `tune` and `batch_norm` leave as it is."""
    network.train()
    network.backbone.requires_grad_(options.tune == "all")
    if options.tune == "head":
        network.backbone.eval()
    elif options.batch_norm == "frozen":
        for module in network.backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def fine_tune(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    options: FineTuningOptions,
    normalise: Normalise,
    *,
    seed: str,
) -> list[float]:
    """Trains the network in place, leaves it in eval mode, and returns the loss of each step.

    network: a Classifier or UNet on the images' device. images: uint8 (N, 3, H, W); targets: {0, 1}, (N,)
    or (N, H, W). Order and flips are functions of `seed`. Raises ValueError for a loss that is not finite,
    naming the step.
    """
    place, layout = images.device, memory_format(network)
    network.to(memory_format=layout)
    set_modes(network, options)
    optimiser = build_optimiser(network, options)
    batches = torch.from_numpy(order(len(images), options, seed)).to(place)
    mirrored = torch.from_numpy(flips(*batches.shape, options, seed)).to(place)
    losses = []
    for step, (chosen, mirror) in enumerate(zip(batches, mirrored, strict=True)):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, base=options.lr, steps=len(batches), schedule=options.schedule)
        x = normalise(flipped(images[chosen], mirror)).contiguous(memory_format=layout)
        y = targets[chosen]
        y = flipped(y, mirror) if y.dim() > 1 else y
        losses.append(train_step(network, optimiser, x, y, options))
    losses = torch.stack(losses).tolist()
    bad = next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), None)
    if bad is not None:
        raise ValueError(f"the loss is not finite at step {bad + 1} of {len(losses)}; lower `lr`")
    network.eval()
    return losses


def train_step(
    network: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor, options: FineTuningOptions
) -> Tensor:
    """One update; x (B, 3, H, W) normalised, y (B,) or (B, H, W). Returns the loss before it, a scalar."""
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
        logits = network(x)
    loss = focal_loss(logits, y, gamma=options.gamma, alpha=options.alpha)
    loss.backward()
    optimiser.step()
    return loss.detach()


def build_optimiser(network: nn.Module, options: FineTuningOptions) -> torch.optim.Optimizer:
    """Of the parameters that are trained."""
    trained = [p for p in network.parameters() if p.requires_grad]
    if options.optimiser == "sgd":
        return torch.optim.SGD(trained, options.lr, momentum=0.9, weight_decay=options.weight_decay)
    return torch.optim.AdamW(trained, options.lr, weight_decay=options.weight_decay, fused=True)


@torch.inference_mode()
def score(
    network: nn.Module, images: np.ndarray, normalise: Normalise, device: torch.device | str
) -> np.ndarray:
    """Log-odds of test images in float32: (N,) of a Classifier, (N, H, W) of a UNet.

    images: uint8 (N, 3, H, W). Log-odds, not probabilities: a sigmoid would make ties of the largest.
    """
    network.eval()
    layout = memory_format(network)
    scores = None
    for start in range(0, len(images), SCORED_AT_ONCE):
        block = torch.from_numpy(np.array(images[start : start + SCORED_AT_ONCE])).to(device)
        part = network(normalise(block).contiguous(memory_format=layout)).float().cpu().numpy()
        if scores is None:
            scores = np.empty((len(images), *part.shape[1:]), np.float32)
        scores[start : start + len(part)] = part
    return scores
