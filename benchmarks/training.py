"""Training images/s and peak memory of SimCLR and SimSiam: our loop against lightly's example loop, and where
our time goes.

Same narrow ResNet-18, batch, two views of the same recipe, one thread, images in memory, no loader processes;
median of three runs, taken in turn, each in a process of its own; CPU time of the whole of it, the building
of the network included. lightly comes with `make test-parity`.
"""

import itertools
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from harness import ROOT, alone, benchmark, installed, ratio, table
from PIL import Image
from torch import nn

from spd.backbones.architectures import build, feature_dim
from spd.config.model import load
from spd.data.corpus import Corpus, from_arrays
from spd.methods.options import SPDOptions, parse_recipe
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings

CONFIG = ROOT / "config.yaml"
ARCHITECTURE = "resnet18_w16"
BATCH = 64
HEADS = {"simclr": {"projector": (128, 64)}, "simsiam": {"projector": (128, 128, 128), "predictor": 32}}


def photographs(count: int = 256, side: int = 96) -> Corpus:
    """Smooth random images: what they show does not matter for speed."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return from_arrays((images * 255).byte().numpy(), np.arange(count) % 2)


def ours(images: Corpus, method: str, size: int, steps: int, eta: float = 0.0) -> dict[str, float]:
    """The summary's `timing` of a training."""
    view = {"size": size}
    if method == "simclr":
        jitter = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
        view |= {"scale": (0.08, 1.0), "jitter": jitter}  # bilinear, as lightly's
    recipe = parse_recipe(
        {
            "method": method,
            "batch": BATCH,
            "steps": steps,
            "optimiser": "sgd",
            "lr": 0.05,
            "warmup_epochs": 0,
            "views": {"strong": view, "weak": {"size": size, "scale": (0.9, 1.0)}},
            **({"loss": "ntxent"} if method == "simclr" else {}),
            **HEADS[method],
        }
    )
    return trained(images, ARCHITECTURE, recipe, SPDOptions(eta=eta))


def lightlys(images: Corpus, method: str, size: int, steps: int) -> None:
    """The loop in lightly's examples, with its transforms, heads and losses."""
    from lightly.loss import NegativeCosineSimilarity, NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead, SimSiamPredictionHead, SimSiamProjectionHead
    from lightly.transforms import SimCLRTransform, SimSiamTransform

    torch.manual_seed(0)
    backbone = build(ARCHITECTURE)
    dim = feature_dim(backbone)
    if method == "simclr":
        heads = nn.ModuleList([SimCLRProjectionHead(dim, 128, 64)])
        criterion, transform = NTXentLoss(0.1), SimCLRTransform(input_size=size, cj_strength=1.0)
    else:
        heads = nn.ModuleList([SimSiamProjectionHead(dim, 128, 128), SimSiamPredictionHead(128, 32, 128)])
        criterion, transform = NegativeCosineSimilarity(), SimSiamTransform(input_size=size)
    parameters = [*backbone.parameters(), *heads.parameters()]
    optimiser = torch.optim.SGD(parameters, lr=0.0125, momentum=0.9, weight_decay=1e-4)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in images.images]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, i):
            return transform(pictures[i])

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for x0, x1 in itertools.islice(batches, steps):
        z0, z1 = (heads[0](backbone(x)) for x in (x0, x1))
        if method == "simclr":
            loss = criterion(z0, z1)
        else:
            p0, p1 = heads[1](z0), heads[1](z1)
            loss = 0.5 * (criterion(z0.detach(), p1) + criterion(z1.detach(), p0))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def prepare(loop: str, method: str, size: int, steps: int):
    """A training by one of the two loops, after a step on images too small to count in its memory."""
    images = photographs()
    train = {"ours": ours, "lightly": lightlys}[loop]
    train(images, method, 16, 1)
    return lambda: train(images, method, size, steps)


def speed(options):
    loops = ["ours", *(["lightly"] if installed("lightly") else [])]
    for method in HEADS:
        rounds = [
            {loop: alone(prepare, loop, method, options.size, options.steps) for loop in loops}
            for _ in range(options.repeats)
        ]
        seconds = {loop: [each[loop].seconds[0] for each in rounds] for loop in loops}
        rates = [f"{options.steps * BATCH / statistics.median(seconds[loop]):.0f}" for loop in loops]
        memory = [f"{statistics.median(r[loop].peak - r[loop].before for r in rounds):.0f}" for loop in loops]
        if len(loops) == 1:
            yield method, "", *rates, "", *memory, ""
        else:
            yield method, ratio(seconds["lightly"], seconds["ours"], 2), *rates, *memory


def shares(name: str, images: Corpus, architecture: str, recipe, spd: SPDOptions) -> tuple[str, ...]:
    """The parts' shares of a training's time."""
    timing = trained(images, architecture, recipe, spd)
    parts = [timing[f"{part}_seconds"] for part in ("data", "views", "forward", "backward")]
    size = recipe.views.augmentation("q").size
    name, dot, batch = name.partition(",")
    name += " + SPD" * bool(spd.eta)
    return f"{name}, {architecture}, {size} px{dot}{batch}", *(f"{part / sum(parts):.1%}" for part in parts)


def where(options):
    """Rows of preset demo, images of its size, and of preset paper's SimCLR and SimSiam on ResNet-50 from a
    mapped file of 256 px images, where only the batch, the steps and the precision (float32) are other."""
    ours(photographs(), "simclr", 16, 1, eta=0.1)  # kernels are compiled at their first use
    demo, paper = (load(CONFIG, {"preset": preset}) for preset in ("demo", "paper"))
    images, architecture = photographs(side=demo.corpus.size), demo.backbones["resnet50"].architecture
    for method in ("supervised", "simsiam", "moco", "simclr"):
        recipe = demo.recipes[method].model_copy(update={"steps": options.steps, "held_out": 0.0})
        for spd in (SPDOptions(eta=0.0), demo.spd["spd"]):
            yield shares(f"demo: {method}", images, architecture, recipe, spd)
    batch = options.paper_batch
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, photographs(4 * batch or 1, 256).images)
        images = from_arrays(np.load(file, mmap_mode="r"), np.zeros(4 * batch or 1))
        for method in ("simclr", "simsiam") if batch else ():
            changes = {"batch": batch, "steps": 2, "precision": "float32", "warmup_epochs": 0}
            recipe = paper.recipes[method].model_copy(update=changes)
            for spd in (SPDOptions(eta=0.0), paper.spd["spd"]):
                yield shares(f"paper: {method}, batch {batch}", images, "resnet50", recipe, spd)


def trained(images: Corpus, architecture: str, recipe, spd: SPDOptions) -> dict[str, float]:
    """The summary's `timing` of a training on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(architecture=architecture, recipe=recipe, spd=spd, seed=0)
        outputs = Outputs.in_folder(Path(folder))
        return pretrain(images, settings, outputs, device="cpu", progress=False)["timing"]


def measure(options) -> str:
    header = "method | ours / lightly, images/s | ours | lightly | peak MiB, ours | peak MiB, lightly"
    return f"""{ARCHITECTURE}, batch {BATCH}, {options.size} px, {options.steps} steps, 1 thread, no loader
processes, each measurement in a process of its own, in turns: images per CPU second, median
(least-greatest) of {options.repeats} pairs. Peak memory is what came on top of the loaded libraries and
images.

{table(header, speed(options))}

Where our time goes (data: waiting for the batch, which a thread fetches during the step before; one thread
computes; wall time):

{table("training | data | views | forward | backward and step", where(options))}"""


if __name__ == "__main__":
    sizes = {"steps": (8, 1), "size": (64, 32), "repeats": (3, 1), "paper_batch": (4, 0)}
    benchmark(measure, "training", "## Training loop", sizes)
