"""Feature maps of real images for the detectors' benchmarks: magnetic tiles under ImageNet-pretrained
lite0."""

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.data.geometry import apply_to_image
from spd.data.geometry_options import GeometryOptions
from spd.detectors.embedding import Embedder
from spd.features.extraction import Network

STAGES = ("blocks.1", "blocks.2", "blocks.4")  # 24, 40 and 112 channels at strides 4, 8 and 16


def root() -> Path | None:
    """The data set's folder below SPD_DATA, or None."""
    folder = Path(os.environ.get("SPD_DATA", "")) / "magnetic_tile"
    return folder if folder.is_dir() else None


def normal_images(count: int) -> list[Path]:
    """`count` normal images in the order of the data set's own split."""
    with (root() / "split_csv" / "1cls.csv").open() as file:
        rows = [row["image"] for row in csv.DictReader(file) if row["label"] == "normal"]
    return [root() / row for row in rows[:count]]


def lite0(folder: Path) -> Path:
    """The backbone file with lite0's ImageNet weights, written to `folder`."""
    path = folder / "backbone.safetensors"
    import_backbone(BackboneOptions(source="lite0"), path)
    return path


def opened(paths: list[Path], geometry: GeometryOptions) -> np.ndarray:
    """(N, 3, H, W) uint8."""
    batch = np.stack([apply_to_image(Image.open(path).convert("RGB"), geometry) for path in paths])
    return batch if batch.shape[1] == 3 else batch.transpose(0, 3, 1, 2)


def features(count: int, size: int = 224) -> dict[str, np.ndarray]:
    """Stage -> (count, C, h, w) float32 of normal images, resized to size * 8 / 7 and cropped to `size`."""
    geometry, paths = GeometryOptions(resize=size * 8 // 7, mode="short", crop=size), normal_images(count)
    with tempfile.TemporaryDirectory() as folder:
        network = Network(lite0(Path(folder)), STAGES, (size, size))
        parts = [network(opened(paths[i : i + 16], geometry)) for i in range(0, len(paths), 16)]
        return {stage: np.concatenate([part[stage].numpy() for part in parts]) for stage in STAGES}


def embedder(embedding: str, maps: dict[str, np.ndarray]) -> tuple[Embedder, list[np.ndarray]]:
    """PatchCore's embedding of the last two stages, and those."""
    stages = list(maps.values())[1:3]
    widths = [stage.shape[1] for stage in stages]
    return Embedder(widths, patch_size=3, embedding=embedding, stage_dim=1024, dim=1024), stages
