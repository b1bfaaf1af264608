"""Training images/s and peak memory of SimCLR and SimSiam: our loop against lightly's example loop, and where
our time goes.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--steps 8] [--size 64] [--write]

Same narrow ResNet-18, batch, two views of the same recipe, one thread, images in memory, no loader processes;
median of three runs, taken in turn, each in a process of its own; CPU time of the whole of it, the building
of the network included. lightly comes with `make test-parity`.
"""

import argparse
import importlib.metadata
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from report import machine, write_section
from torch import nn
from turns import ratio

from spd.backbones.architectures import build, feature_dim
from spd.config.model import load
from spd.data.corpus import Corpus, from_arrays
from spd.methods.options import SPDOptions, parse_recipe
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings

CONFIG = Path(__file__).resolve().parent.parent / "config.yaml"
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
    pictures = [(Image.fromarray(image.transpose(1, 2, 0)), 0) for image in images.images]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, i):
            return transform(pictures[i][0]), 0

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
    done = 0
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


def alone(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds of `work`, MiB that it took beyond what lay in memory before), in a fork of this
    process."""
    receive, send = multiprocessing.Pipe(duplex=False)

    def measured() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        began = time.process_time()
        work()
        seconds = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        send.send((seconds, peak - pages * os.sysconf("SC_PAGE_SIZE") / 2**20))

    process = multiprocessing.get_context("fork").Process(target=measured)
    process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        raise RuntimeError(f"a measurement ended with status {process.exitcode}") from None
    finally:
        process.join()


SHARES = ("data", "views", "forward", "backward")


def shares(timing: dict[str, float]) -> str:
    """The parts' shares as cells of a Markdown row."""
    parts = [timing[f"{part}_seconds"] for part in SHARES]
    return " | ".join(f"{part / sum(parts):.1%}" for part in parts)


def demo_shares(steps: int) -> list[str]:
    """Rows of the preset demo's recipes and networks, images of its size."""
    demo = load(CONFIG, {"preset": "demo"})
    images, rows = photographs(side=demo.corpus.size), []
    architecture = demo.backbones["resnet50"].architecture
    for method in ("supervised", "simsiam", "moco", "simclr"):
        for spd in (SPDOptions(eta=0.0), demo.spd["spd"]):
            recipe = demo.recipes[method].model_copy(update={"steps": steps, "held_out": 0.0})
            timing = trained(images, architecture, recipe, spd)
            name = method + (" + SPD" if spd.eta else "")
            rows.append(f"| demo: {name}, {architecture}, {recipe.views.augmentation('q').size} px "
                        f"| {shares(timing)} |")  # fmt: skip
    return rows


def paper_shares(batch: int, steps: int) -> list[str]:
    """Rows of the preset paper's SimCLR and SimSiam on ResNet-50 at 224 px, from a mapped file of 256 px
    images; only the batch, the steps and the precision (float32) are other."""
    paper, rows = load(CONFIG, {"preset": "paper"}), []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, photographs(4 * batch, 256).images)
        images = from_arrays(np.load(file, mmap_mode="r"), np.zeros(4 * batch))
        for method in ("simclr", "simsiam"):
            for spd in (SPDOptions(eta=0.0), paper.spd["spd"]):
                changes = {"batch": batch, "steps": steps, "precision": "float32", "warmup_epochs": 0}
                recipe = paper.recipes[method].model_copy(update=changes)
                timing = trained(images, "resnet50", recipe, spd)
                name = method + (" + SPD" if spd.eta else "")
                rows.append(f"| paper: {name}, resnet50, 224 px, batch {batch} | {shares(timing)} |")
    return rows


def trained(images: Corpus, architecture: str, recipe, spd: SPDOptions) -> dict[str, float]:
    """The summary's `timing` of a training on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(architecture=architecture, recipe=recipe, spd=spd, seed=0)
        outputs = Outputs.in_folder(Path(folder))
        return pretrain(images, settings, outputs, device="cpu", progress=False)["timing"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--paper-batch", type=int, default=4, help="images a step at 224 px; 0 leaves it out")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images, steps, size = photographs(), arguments.steps, arguments.size
    ours(images, "simclr", size, 2, eta=0.1)  # kernels are compiled at their first use

    speed = [
        "| method | ours / lightly, images/s | ours | lightly | peak MiB, ours | peak MiB, lightly |",
        "|---|---|---|---|---|---|",
    ]
    for method in HEADS:
        pairs = []
        for _ in range(3):
            mine = alone(lambda method=method: ours(images, method, size, steps))
            pairs.append((mine, alone(lambda method=method: lightlys(images, method, size, steps))))
            print(method, pairs[-1], file=sys.stderr, flush=True)
        seconds = [[pair[i][0] for pair in pairs] for i in (0, 1)]
        rates = [steps * BATCH / statistics.median(own) for own in seconds]
        memory = [statistics.median(pair[i][1] for pair in pairs) for i in (0, 1)]
        speed.append(
            f"| {method} | {ratio(seconds[1], seconds[0], 2)} | {rates[0]:.0f} | {rates[1]:.0f} "
            f"| {memory[0]:.0f} | {memory[1]:.0f} |"
        )
    where = [
        "| training | data | views | forward | backward and step |",
        "|---|---|---|---|---|",
        *demo_shares(steps),
        *(paper_shares(arguments.paper_batch, 2) if arguments.paper_batch else []),
    ]
    markdown = "\n".join(
        [
            "## Training loop",
            "",
            f"{ARCHITECTURE}, batch {BATCH}, {size} px, {steps} steps, 1 thread, no loader processes, each "
            "measurement in a fork of one process, in turns: images per CPU second, median (least-greatest) "
            "of 3 pairs. Peak memory is what came on top of the loaded libraries and images. lightly "
            f"{importlib.metadata.version('lightly')}; {machine()}.",
            "",
            *speed,
            "",
            "Where our time goes (data: waiting for the batch, which a thread fetches during the step "
            "before; one thread computes; wall time):",
            "",
            *where,
            "",
            "Command: `OMP_NUM_THREADS=1 python benchmarks/training.py --write` (`make test-parity` installs "
            "lightly)",
        ]
    )
    print(f"<!-- begin training -->\n{markdown}\n<!-- end training -->")
    if arguments.write:
        write_section("training", markdown)


if __name__ == "__main__":
    main()
