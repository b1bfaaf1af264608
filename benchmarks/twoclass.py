"""2-class training: our steps against the plain loop with torchvision or smp and a DataLoader.

Both train the same network from the same weights on the same generated photographs, with the same batch,
loss, optimiser and number of threads.
"""

import copy
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import photographs
import segmentation_models_pytorch as smp
import torch
from harness import benchmark, clock, ratio, table, take_turns
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from spd.backbones.architectures import build, memory_format
from spd.backbones.normalisation import IMAGENET_MEAN, IMAGENET_STD
from spd.data.cache import ImageCache, write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import make
from spd.detectors.finetuned.classifier import Classifier
from spd.detectors.finetuned.evaluation import training_set
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.finetuned.training import Normalise, build_optimiser, fine_tune, flipped, set_modes
from spd.detectors.finetuned.unet import UNet
from spd.losses.focal import focal_loss

STEPS = 4
IMAGES = 20  # 10 shots of each class
# architecture, side
CASES = (("resnet10_w16", 64), ("timm:tf_efficientnet_lite0", 96), ("resnet18", 96))


def pictures(folder: Path) -> list[tuple[Path, Path | None]]:
    """(image, mask or None) of as many normal as anomalous images, VisA's size, as JPEG and PNG."""
    marked = np.zeros((1000, 1500), np.uint8)
    marked[300:420, 500:640] = 1
    Image.fromarray(marked).save(folder / "mask.png")
    paths = [photographs.write(folder / f"{i}.jpg", i, (1500, 1000), 0, quality=90) for i in range(IMAGES)]
    return [(path, folder / "mask.png" if i % 2 else None) for i, path in enumerate(paths)]


class Plain(Dataset):
    """What a user would write: open, resize, flip, normalise, each time an image is asked for.

    kept: images are opened and resized once, beforehand, and only flipped and normalised each time.
    """

    def __init__(self, files, side: int, masks: bool, kept: bool):
        self.masks, self.kept = masks, None
        self.resize, self.flip = v2.Resize((side, side), antialias=True), v2.RandomHorizontalFlip()
        self.image = v2.Compose(
            [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        )
        self.files = files
        if kept:
            self.kept = [self.read(i) for i in range(len(files))]

    def __len__(self) -> int:
        return len(self.files)

    def read(self, i: int):
        path, mask_path = self.files[i]
        image = tv_tensors.Image(Image.open(path).convert("RGB"))
        if not self.masks:
            return self.resize(image), int(mask_path is not None)
        marked = Image.open(mask_path) if mask_path else Image.new("L", (image.shape[2], image.shape[1]))
        return self.resize(image, tv_tensors.Mask(np.array(marked) > 0))

    def __getitem__(self, i: int):
        image, target = self.flip(*(self.kept[i] if self.kept else self.read(i)))
        return self.image(image), target.float() if self.masks else target


class PlainUNet(nn.Module):
    """segmentation_models_pytorch's own U-Net where it has the encoder, else the same modules as ours."""

    def __init__(self, ours: UNet, architecture: str):
        super().__init__()
        if architecture == "resnet18":
            self.model = smp.Unet("resnet18", encoder_weights=None)
            self.model.load_state_dict(ours.state_dict())
        elif architecture.startswith("timm:"):
            self.model = smp.Unet(f"tu-{architecture.removeprefix('timm:')}", encoder_weights=None)
            encoder, known = ours.backbone.state_dict(), self.model.encoder.model.state_dict()
            self.model.encoder.model.load_state_dict({k: encoder[k] for k in known})
            self.model.decoder.load_state_dict(ours.decoder.state_dict())
            self.model.segmentation_head.load_state_dict(ours.segmentation_head.state_dict())
        else:
            self.model = copy.deepcopy(ours)

    def forward(self, x):
        logits = self.model(x)
        return logits[:, 0] if logits.dim() == 4 else logits


def plain_loop(network: nn.Module, photographs: Plain, options, steps: int, loss) -> None:
    """The plain loop: torchvision's transforms, a DataLoader in the process, contiguous tensors."""
    loader = DataLoader(photographs, batch_size=options.batch, shuffle=True, drop_last=True)
    optimiser = torch.optim.AdamW(network.parameters(), options.lr, weight_decay=options.weight_decay)
    network.train()
    done = 0
    while done < steps:
        for x, y in loader:
            optimiser.zero_grad()
            loss(network(x), y).backward()
            optimiser.step()
            done += 1
            if done == steps:
                return


class PlainClassifier(nn.Module):
    def __init__(self, ours: Classifier):
        super().__init__()
        self.body, self.head = copy.deepcopy(ours.backbone), copy.deepcopy(ours.head)

    def forward(self, x):
        return self.head(self.body(x))


def shares_of_a_step(network, images, targets, options, normalise) -> list[float]:
    """Shares of a step in %: input (gather, flip, normalise), forward and loss, backward, optimiser."""
    set_modes(network, options)
    optimiser, layout = build_optimiser(network, options), memory_format(network)
    spent = dict.fromkeys(("input", "forward", "backward", "update"), 0.0)
    chosen, mirror = torch.arange(options.batch), torch.arange(options.batch) % 2 == 0

    def lap(name: str, run):
        begin = time.perf_counter()
        result = run()
        spent[name] += time.perf_counter() - begin
        return result

    for _ in range(STEPS):
        draw = lambda: normalise(flipped(images[chosen], mirror)).contiguous(memory_format=layout)  # noqa: E731
        x = lap("input", draw)
        optimiser.zero_grad(set_to_none=True)
        loss = lap("forward", lambda x=x: focal_loss(network(x), targets[chosen], gamma=options.gamma))
        lap("backward", loss.backward)
        lap("update", optimiser.step)
    total = sum(spent.values())
    return [100 * seconds / total for seconds in spent.values()]


def compare(unet: bool, architecture: str, side: int, files, cache: ImageCache, arguments) -> tuple[str, ...]:
    """The row: our images/s, ours over the plain loop and over that of kept images, shares of our step."""
    options = (UNetOptions if unet else ClassifierOptions)(min_steps=STEPS, epochs=1)
    normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD, "cpu")
    torch.manual_seed(0)
    network = (UNet if unet else Classifier)(build(architecture))
    plain = PlainUNet(network, architecture) if unet else PlainClassifier(network)
    loss = smp.losses.FocalLoss("binary", gamma=2) if unet else nn.CrossEntropyLoss()
    detector = "unet" if unet else "classifier"
    images, targets = training_set(cache, "o", np.arange(IMAGES), detector)
    read, kept = (Plain(files, side, unet, each) for each in (False, True))
    entrants = {
        "plain": lambda: plain_loop(plain, read, options, STEPS, loss),
        "kept": lambda: plain_loop(plain, kept, options, STEPS, loss),
        "ours": lambda: fine_tune(network, images, targets, options, normalise, seed="s"),
    }
    seconds = take_turns(entrants, arguments.threads, arguments.repeats)
    network.to(memory_format=memory_format(network))
    shares = shares_of_a_step(network, images, targets, options, normalise)
    speed = STEPS * options.batch / statistics.median(seconds["ours"])
    faster = [ratio(seconds[peer], seconds["ours"], 2) for peer in ("plain", "kept")]
    return f"{detector}, {architecture}, {side} px", f"{speed:.0f}", *faster, *(f"{s:.1f} %" for s in shares)


def rows(options):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = pictures(folder)
        listed = [
            ("o", "train", "anomaly" if mask else "normal", "", path.name, mask.name if mask else "")
            for path, mask in files
        ]
        for architecture, side in CASES[:1] if options.quick else CASES:
            geometry = GeometryOptions(resize=side)
            write_cache(make(listed, folder, 0), None, geometry, folder / "c", progress=False)
            for unet in (False, True):
                yield compare(unet, architecture, side, files, ImageCache(folder / "c"), options)


def measure(options) -> str:
    header = "training | images/s | ours / plain loop | / resized | input | forward, loss | backward | update"
    return f"""Training images per second of `spd.detectors.finetuned.training.fine_tune`, and as a multiple
of the plain loop's in the same run: the same network and initial weights, {IMAGES} photographs of 1500 x
1000 pixels (generated JPEGs of VisA's size), batch 8, AdamW, the same loss, {clock(options.threads)[1]};
ratios are medians of {options.repeats} repeats of {STEPS} steps (least-greatest). The plain loop opens,
resizes, flips and normalises each image in a DataLoader and trains `torchvision`'s classifier with a 2-way
head, or `segmentation_models_pytorch`'s U-Net, in PyTorch's default memory layout. "Resized" is the same
loop over images that it finds opened and resized.

{table(header, rows(options))}

The right columns are shares of the time of our step. Ours reads images that were decoded and resized once
(`spd.data`), keeps them on the device as uint8, and trains channels last."""


if __name__ == "__main__":
    benchmark(measure, "twoclass", "## 2-class training", {"repeats": (3, 1)})
