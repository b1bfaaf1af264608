"""Training images/s of SimCLR and SimSiam: our loop against lightly's example loop, and where our time goes.

    python benchmarks/training.py [--steps 12] [--size 64] [--write]

Same narrow ResNet-18, batch, two views of the same recipe, one thread, images in memory, no loader processes;
median of three runs, taken in turn. lightly's rows are left out where lightly cannot be imported (`pip
install lightly` into a scratch environment).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from report import machine, write_section
from torch import nn

from spd.backbones.architectures import build, feature_dim
from spd.corpus import Corpus, from_arrays
from spd.methods.options import SPDOptions, parse_recipe
from spd.pretrain import pretrain

ARCHITECTURE = "resnet18_w16"
BATCH = 64
HEADS = {"simclr": {"projector": (128, 64)}, "simsiam": {"projector": (128, 128, 128), "predictor": 32}}


def photographs(count: int = 256, side: int = 96) -> Corpus:
    """Smooth random images: what they show does not matter for speed."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return from_arrays((images * 255).byte().numpy(), np.zeros(count))


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
    with tempfile.TemporaryDirectory() as folder:
        paths = {f"{name}_path": Path(folder) / name for name in ("backbone", "history", "checkpoint")}
        return pretrain(
            images, architecture=ARCHITECTURE, recipe=recipe, spd=SPDOptions(eta=eta), seed=0, device="cpu",
            progress=False, **paths,
        )["timing"]  # fmt: skip


def lightly_rate(images: Corpus, method: str, size: int, steps: int) -> float:
    """Images/s of the loop in lightly's examples, with its transforms, heads and losses."""
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
    pictures = [(Image.fromarray(image.transpose(1, 2, 0)), 0) for image in images.images]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, i):
            return transform(pictures[i][0]), 0

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
    done, began = 0, time.perf_counter()
    while done < steps:
        for (x0, x1), _ in loader:
            z0, z1 = (heads[0](backbone(x)) for x in (x0, x1))
            if method == "simclr":
                loss = criterion(z0, z1)
            else:
                p0, p1 = heads[1](z0), heads[1](z1)
                loss = 0.5 * (criterion(z0.detach(), p1) + criterion(z1.detach(), p0))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            done += 1
            if done == steps:
                break
    return steps * BATCH / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        import lightly
    except ImportError:
        lightly = None
    images, steps, size = photographs(), arguments.steps, arguments.size
    ours(images, "simclr", size, 2, eta=0.1)  # kernels are compiled at their first use

    speed = ["| method | ours / lightly, images/s |", "|---|---|"]
    shares = ["| training | data | views | forward | backward and step |", "|---|---|---|---|---|"]
    for method in HEADS:
        rates = {"ours": [], "lightly": []}
        for _ in range(3):
            timing = ours(images, method, size, steps)
            rates["ours"].append(timing["images_per_second"])
            if lightly is not None:
                rates["lightly"].append(lightly_rate(images, method, size, steps))
        if lightly is not None:
            ratio = statistics.median(rates["ours"]) / statistics.median(rates["lightly"])
            speed.append(f"| {method} | {ratio:.2f} |")
        for label, timing_ in ((method, timing), (f"{method} + SPD", ours(images, method, size, steps, 0.1))):
            parts = [timing_[f"{part}_seconds"] for part in ("data", "views", "forward", "backward")]
            shares.append(f"| {label} | " + " | ".join(f"{p / sum(parts):.0%}" for p in parts) + " |")
    markdown = "\n".join(
        [
            "## Training loop",
            "",
            f"{ARCHITECTURE}, batch {BATCH}, {size} px, {steps} steps, 1 thread, no loader processes, "
            f"median of 3. {machine()}.",
            "",
            *(speed if lightly is not None else []),
            "",
            "Where our time goes:",
            "",
            *shares,
            "",
            "Command: `python benchmarks/training.py --write`",
        ]
    )
    print(f"<!-- begin training -->\n{markdown}\n<!-- end training -->")
    if arguments.write:
        write_section("training", markdown)


if __name__ == "__main__":
    main()
