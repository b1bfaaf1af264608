"""One object from image files to maps, PaDiM and PatchCore (coreset 10 %) together: ours against
anomalib's models.

Magnetic tiles, lite0's architecture and weights on both sides (stages at strides 4, 8, 16; PatchCore the
last two), 256 x 256 whole images, profile `anomalib`, CPU time of all threads, in turns, `--repeats` times.
Ours decodes once and extracts features once for both detectors; the peer decodes once per detector, as its
two engine runs do, and runs its own models. Its coreset loop does equal work at every step and is scaled
from `--iterations` steps; its PaDiM fit is scaled from `--slab` of the 4096 positions. Needs anomalib (extra
`parity`).
"""

import statistics
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path

import magnetic_tile
import numpy as np
import torch
from harness import benchmark, installed, ratio, table
from PIL import Image

from spd.backbones.files import load
from spd.data.geometry_options import GeometryOptions
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.padim import PaDiM
from spd.detectors.patchcore import PatchCore
from spd.detectors.registry import DETECTORS
from spd.features.extraction import Network

SIZE, DIM, BATCH = (256, 256), 100, 16


class Stopwatch(Counter):
    """CPU seconds per part."""

    @contextmanager
    def part(self, *names: str, factor: float = 1.0):
        """Adds the time of the block to a part, times a factor for what is scaled up or taken off."""
        begin = time.process_time()
        yield
        for name, sign in zip(names, (1, -1), strict=False):
            self[name] += sign * factor * (time.process_time() - begin)


def ours(paths: list[Path], backbone: Path, options) -> dict[str, float]:
    watch = Stopwatch()
    network = Network(backbone, magnetic_tile.STAGES, SIZE)
    geometry, parts = GeometryOptions(resize=256, mode="square"), []
    for start in range(0, len(paths), BATCH):
        with watch.part("decode"):
            batch = magnetic_tile.opened(paths[start : start + BATCH], geometry)
        with watch.part("features"):
            parts.append({stage: maps.numpy() for stage, maps in network(batch).items()})
    features = {stage: np.concatenate([part[stage] for part in parts]) for stage in magnetic_tile.STAGES}
    train = {stage: maps[: options.train] for stage, maps in features.items()}
    test = {stage: maps[options.train :] for stage, maps in features.items()}
    padim, patchcore = (DETECTORS[name].profiles["anomalib"] for name in ("padim", "patchcore"))
    with watch.part("PaDiM"):
        PaDiM(PaDiMOptions(**{**padim, "dim": DIM})).fit(train).score(test, SIZE)
    with watch.part("PatchCore"):
        PatchCore(PatchCoreOptions(**patchcore)).fit(train).score(test, SIZE)
    return watch


def anomalib(paths: list[Path], backbone: Path, options) -> dict[str, float]:
    from anomalib.models.components import KCenterGreedy, MultiVariateGaussian
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    from torchvision.transforms.v2 import Normalize, Resize
    from torchvision.transforms.v2.functional import to_dtype, to_image

    watch = Stopwatch()
    resize, normalise = Resize(SIZE, antialias=True), Normalize((0.498,) * 3, (0.502,) * 3)
    weights = load(backbone)[0].state_dict()
    layers = list(magnetic_tile.STAGES)

    def batches(some):
        for start in range(0, len(some), BATCH):
            with watch.part("decode"):
                opened = [to_image(Image.open(path).convert("RGB")) for path in some[start : start + BATCH]]
                images = [normalise(resize(to_dtype(image, torch.float32, scale=True))) for image in opened]
            yield torch.stack(images)

    def model_of(kind, stages, **kwargs):
        model = kind(backbone="tf_efficientnet_lite0", layers=stages, pre_trained=False, **kwargs)
        network = model.feature_extractor.feature_extractor
        missing = network.load_state_dict(weights, strict=False).missing_keys
        assert not missing, missing
        return model.train()

    for name in ("PaDiM", "PatchCore"):
        padim = name == "PaDiM"
        model = (
            model_of(PadimModel, layers, n_features=DIM) if padim else model_of(PatchcoreModel, layers[1:])
        )
        model.feature_extractor.eval()
        for batch in batches(paths[: options.train]):
            with watch.part("features"):
                model(batch)
        if padim:
            embeddings = torch.vstack(model.memory_bank)
            part = embeddings[:, :, :1, : options.slab].contiguous()
            gaussian, positions = MultiVariateGaussian(), embeddings[0, 0].numel()
            with watch.part(name, factor=positions / part[0, 0].numel()):
                gaussian.fit(part)
            repeats = -(-positions // part[0, 0].numel())
            model.gaussian.mean = embeddings.mean(0).flatten(1)
            model.gaussian.inv_covariance = gaussian.inv_covariance.repeat(repeats, 1, 1)[:positions]
        else:
            embeddings = torch.vstack(model.embedding_store)
            sampler = KCenterGreedy(embedding=embeddings, sampling_ratio=0.1)
            with watch.part(name):
                sampler.model.fit(embeddings)
                sampler.features = sampler.model.transform(embeddings)
            index = torch.tensor(0)
            sampler.update_distances(index)
            with watch.part(name, factor=sampler.coreset_size / options.iterations):
                for _ in range(options.iterations):
                    sampler.update_distances(index)
                    index = sampler.get_new_idx()
            # The score's time depends on the bank's size, not on which patches it holds.
            model.memory_bank = embeddings[:: len(embeddings) // sampler.coreset_size][: sampler.coreset_size]
        model.eval()
        for batch in batches(paths[options.train :]):
            # the whole model's pass below repeats the features, whose time is taken off
            with watch.part("features", name), torch.no_grad():
                model.feature_extractor(batch)
            with watch.part(name):
                model(batch)
    return watch


def measure(options) -> str:
    if magnetic_tile.root() is None:
        raise SystemExit("set SPD_DATA to a folder that holds magnetic_tile")
    paths = magnetic_tile.normal_images(options.train + options.test)
    entrants = {"ours": ours} | ({"anomalib": anomalib} if installed("anomalib") else {})
    seconds = {name: defaultdict(list) for name in entrants}
    with tempfile.TemporaryDirectory() as folder:
        backbone = magnetic_tile.lite0(Path(folder))
        for _ in range(options.repeats):
            for name, run in entrants.items():
                parts = run(paths, backbone, options)
                whole = sum(parts.values())
                sums = {"all": whole, "all but PatchCore": whole - parts["PatchCore"]}
                for part, spent in {**parts, **sums}.items():
                    seconds[name][part].append(spent)
    own, peer = seconds["ours"], seconds.get("anomalib")
    rows = [
        (part, ratio(peer[part], own[part]) if peer else "", f"{statistics.median(own[part]):.1f}")
        for part in own
    ]
    return f"""{options.train} training and {options.test} test images, both detectors; CPU time;
{options.repeats} repeats in turns: median (least-greatest); anomalib's greedy loop scaled
from {options.iterations} steps, its Gaussians from {options.slab} positions.

{table("part | anomalib / ours | ours, s", rows)}"""


if __name__ == "__main__":
    sizes = {"train": (200, 8), "test": (40, 2), "iterations": (20, 2), "slab": (64, 4), "repeats": (3, 1)}
    title = "### One object end to end"
    benchmark(measure, "detectors-end-to-end", title, sizes, by_threads=True)
