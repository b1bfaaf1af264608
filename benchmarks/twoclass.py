"""2-class training: our steps against the plain loop with torchvision or smp and a DataLoader.

python benchmarks/twoclass.py [--write] [--threads 1]

Both train the same network from the same weights on the same generated photographs, with the same batch,
loss, optimiser and number of threads.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import machine, write_section

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

REPEATS = 3
STEPS = 4
IMAGES = 20  # 10 shots of each class
# architecture, side
CASES = (("resnet10_w16", 64), ("timm:tf_efficientnet_lite0", 96), ("resnet18", 96))
MODELS_AT_ONCE = 4


def photographs(folder: Path) -> list[tuple[Path, Path | None]]:
    """(image, mask or None) of as many normal as anomalous images, VisA's size, as JPEG and PNG."""
    rng, found = np.random.default_rng(0), []
    for i in range(IMAGES):
        coarse = rng.integers(60, 200, (25, 38, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((1500, 1000), Image.Resampling.BICUBIC)
        mask = None
        if i % 2:
            mask = folder / f"{i}.png"
            marked = np.zeros((1000, 1500), np.uint8)
            marked[300:420, 500:640] = 1
            Image.fromarray(marked).save(mask)
        image.save(folder / f"{i}.jpg", quality=90)
        found.append((folder / f"{i}.jpg", mask))
    return found


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


def timed(run) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    run()
    return clock() - begin


def setting(detector: str):
    if detector == "unet":
        return UNetOptions(min_steps=STEPS, epochs=1)
    return ClassifierOptions(min_steps=STEPS, epochs=1)


def compare(detector: str, architecture: str, side: int, files, cache: ImageCache) -> dict:
    """Images/s of ours; medians and spreads of ours over the plain loop's, and over that of kept images."""
    options, normalise = setting(detector), Normalise(IMAGENET_MEAN, IMAGENET_STD, "cpu")
    torch.manual_seed(0)
    network = UNet(build(architecture)) if detector == "unet" else Classifier(build(architecture))
    plain = PlainUNet(network, architecture) if detector == "unet" else PlainClassifier(network)
    loss = smp.losses.FocalLoss("binary", gamma=2) if detector == "unet" else nn.CrossEntropyLoss()
    images, targets = training_set(cache, "o", np.arange(IMAGES), detector)
    read, kept = (Plain(files, side, detector == "unet", each) for each in (False, True))
    seconds = {"ours": [], "plain": [], "kept": []}
    for repeat in range(REPEATS + 1):
        took = {
            "plain": timed(lambda: plain_loop(plain, read, options, STEPS, loss)),
            "kept": timed(lambda: plain_loop(plain, kept, options, STEPS, loss)),
            "ours": timed(lambda: fine_tune(network, images, targets, options, normalise, seed="s")),
        }
        if repeat:  # the first is a warm-up
            for name, value in took.items():
                seconds[name].append(value)
    network.to(memory_format=memory_format(network))
    shares = shares_of_a_step(network, images, targets, options, normalise)
    speed = STEPS * options.batch / statistics.median(seconds["ours"])
    return {
        "images/s": speed,
        "plain": spread(seconds["plain"], seconds["ours"]),
        "kept": spread(seconds["kept"], seconds["ours"]),
        **shares,
    }


def spread(theirs: list[float], ours: list[float]) -> str:
    """`median (least - most)` of the ratios."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"


def shares_of_a_step(network, images, targets, options, normalise) -> dict[str, float]:
    """Share of a step's time: input (gather, flip, normalise), forward and loss, backward, optimiser."""
    set_modes(network, options)
    optimiser, layout = build_optimiser(network, options), memory_format(network)
    spent = dict.fromkeys(("input", "forward", "backward", "update"), 0.0)
    chosen, mirror = torch.arange(options.batch), torch.arange(options.batch) % 2 == 0

    def lap(name: str, run):
        begin = time.perf_counter()
        result = run()
        spent[name] += time.perf_counter() - begin
        return result

    from spd.losses.focal import focal_loss

    for _ in range(STEPS):
        x = lap(
            "input",
            lambda: normalise(flipped(images[chosen], mirror)).contiguous(memory_format=layout),
        )
        optimiser.zero_grad(set_to_none=True)
        loss = lap("forward", lambda x=x: focal_loss(network(x), targets[chosen], gamma=options.gamma))
        lap("backward", loss.backward)
        lap("update", optimiser.step)
    total = sum(spent.values())
    return {name: 100 * seconds / total for name, seconds in spent.items()}


def several_at_once(architecture: str, side: int) -> tuple[float, float]:
    """(time of MODELS_AT_ONCE classifier steps one by one over the time at once, largest difference).

    At once: torch.func.vmap over stacked parameters, which makes grouped convolutions of them. BatchNorm with
    its batch statistics and no running ones, since vmap cannot update those in place: the best case.
    """
    torch.manual_seed(0)
    networks = [Classifier(build(architecture)).train() for _ in range(MODELS_AT_ONCE)]
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
    x = torch.randn(MODELS_AT_ONCE, 8, 3, side, side)
    y = (torch.arange(8) % 2).float()
    bce = nn.functional.binary_cross_entropy_with_logits

    def one_by_one():
        return [
            torch.autograd.grad(bce(network(batch), y), list(network.parameters()))
            for network, batch in zip(networks, x, strict=True)
        ]

    parameters, buffers = torch.func.stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")

    def loss(parameters, buffers, batch):
        return bce(torch.func.functional_call(skeleton, (parameters, buffers), (batch,)), y)

    together = torch.func.vmap(torch.func.grad(loss), (0, 0, 0))
    at_once = lambda: together(parameters, buffers, x)  # noqa: E731
    single, stacked = one_by_one(), at_once()
    names = [name for name, _ in networks[0].named_parameters()]
    difference = max(
        float((stacked[name][i] - grads[j]).abs().max() / grads[j].abs().max().clamp_min(1e-6))
        for i, grads in enumerate(single)
        for j, name in enumerate(names)
    )
    ratios = [timed(one_by_one) / timed(at_once) for _ in range(REPEATS)]
    return statistics.median(ratios), difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows, at_once = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = photographs(folder)
        listed = [
            ("o", "train", "anomaly" if mask else "normal", "", path.name, mask.name if mask else "")
            for path, mask in files
        ]
        for architecture, side in CASES:
            write_cache(
                make(listed, folder, 0), None, GeometryOptions(resize=side), folder / "c", progress=False
            )
            cache = ImageCache(folder / "c")
            for detector in ("classifier", "unet"):
                got = compare(detector, architecture, side, files, cache)
                rows.append(
                    f"| {detector}, {architecture}, {side} px | {got['images/s']:.0f} | {got['plain']} "
                    f"| {got['kept']} | {got['input']:.1f} % | {got['forward']:.0f} % "
                    f"| {got['backward']:.0f} % | {got['update']:.0f} % |"
                )
                print(rows[-1], flush=True)
            if not architecture.startswith("timm:"):
                ratio, difference = several_at_once(architecture, side)
                at_once.append(f"| {architecture}, {side} px | {ratio:.2f} | {difference:.0e} |")
                print(at_once[-1], flush=True)
    clock = "CPU time" if arguments.threads == 1 else "wall time"
    markdown = f"""## 2-class training

Training images per second of `spd.detectors.finetuned.training.fine_tune`, and as a multiple of the plain
loop's in the same run: the same network and initial weights, {IMAGES} photographs of 1500 x 1000 pixels
(generated JPEGs of VisA's size), batch 8, AdamW, the same loss, {arguments.threads} thread(s), {clock};
ratios are medians of {REPEATS} repeats of {STEPS} steps (least - most). The plain loop opens, resizes, flips
and normalises each image in a DataLoader and trains `torchvision`'s classifier with a 2-way head, or
`segmentation_models_pytorch`'s U-Net, in PyTorch's default memory layout. "Resized" is the same loop over
images that it finds opened and resized.
`python benchmarks/twoclass.py --write`

| training | images/s | ours / plain loop | / resized | input | forward, loss | backward | update |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

The right columns are shares of the time of our step. Ours reads images that were decoded and resized once
(`spd.data`), keeps them on the device as uint8, and trains channels last.

Several small models at once: the time of {MODELS_AT_ONCE} classifier steps one by one over that of the same
steps at once (`torch.func.vmap` over stacked weights), with the largest relative difference of their
gradients. Below 1, one by one is faster.

| classifier | one by one / at once | difference |
|---|---|---|
{chr(10).join(at_once)}

{machine()}"""
    print(markdown)
    if arguments.write:
        write_section("twoclass", markdown)


if __name__ == "__main__":
    main()
