"""From an image cache and a backbone to feature maps on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from spd.backbones.files import load
from spd.backbones.folding import fold_batchnorm
from spd.backbones.stages import StageNetwork
from spd.data.cache import ImageCache
from spd.float32 import full_float32
from spd.tensors import TensorWriter
from spd.threads import one_thread_each

CPU_PIXELS = 2**17
"""Pixels that one thread of a CPU takes at once (4 to 16 images), several such blocks side by side. One batch
on several threads is slower and rounds differently for each number of them. Larger ones leave the caches."""


def extract(
    backbone_path: Path | str,
    cache_path: Path | str,
    stages: Sequence[str],
    path: Path | str,
    *,
    objects: Sequence[str] | None = None,
    batch: int = 32,
    precision: str = "float32",
    device: str | torch.device | None = None,
    threads: int | None = None,
    progress: bool = True,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Writes the maps of `stages` for every image of the cache (of `objects`, if given) to `path`,
    atomically.

    Per object and stage: `NAME/STAGE` float32 (N, C, h, w), in the order of the cache; memory is one batch.
    Input is (pixel / 255 - mean) / std with the backbone's own mean and std. `precision` float32 or bfloat16
    (of the arithmetic alone); `device`: a GPU if there is one; `threads`: of torch, while this runs; on a CPU
    any number of them gives the same bytes. `sources`: stage -> hash of the code that made it, kept with the
    file.

    Raises ValueError for a stage the backbone does not have, and for features that are not finite, naming the
    image.
    """
    cache = ImageCache(cache_path)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    threads_before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        chosen = cache.objects if objects is None else list(objects)
        network = Network(
            backbone_path, stages, cache.images(chosen[0]).shape[2:], precision=precision, device=device
        )
        shapes = {
            f"{name}/{stage}": ("float32", (len(cache.rows(name)), *maps.shape[1:]))
            for name in chosen
            for stage, maps in network(np.zeros_like(cache.images(name)[:1])).items()
        }
        metadata = {
            "cache": json.dumps({"split_hash": cache.split_hash, "geometry": cache.geometry.model_dump()}),
            "stages": json.dumps(network.stages),
            "sources": json.dumps(dict(sources or {}), sort_keys=True),
            "objects": json.dumps(
                {name: cache.rows(name)["split"].value_counts().to_dict() for name in chosen},
                ensure_ascii=False,
            ),
        }
        total = sum(len(cache.rows(name)) for name in chosen)
        with (
            TensorWriter(path, shapes, metadata) as writer,
            tqdm(total=total, desc="features", unit="image", disable=not progress) as bar,
        ):
            for name in chosen:
                images = cache.images(name)
                for first in range(0, len(images), batch):
                    for stage, maps in network(images[first : first + batch]).items():
                        _check_finite(
                            maps,
                            lambda i, name=name, first=first: cache.rows(name)["image"][first + i],
                            stage,
                        )
                        writer.write(f"{name}/{stage}", maps.cpu().contiguous().numpy(), first)
                    bar.update(len(images[first : first + batch]))
    finally:
        torch.set_num_threads(threads_before)


class Network:
    """uint8 images -> stage maps: a backbone file cut, folded and laid out for inference."""

    @full_float32()
    def __init__(
        self,
        backbone_path: Path | str,
        stages: Sequence[str],
        image_size: tuple[int, int],
        *,
        precision: str = "float32",
        device: torch.device | str = "cpu",
    ):
        """image_size: (H, W) of the images; a vision transformer takes no other."""
        model, metadata = load(backbone_path)
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, not {precision!r}")
        network = StageNetwork(model, stages, image_size=image_size).eval()
        self.stages = network.stages
        self._device, self._dtype = torch.device(device), getattr(torch, precision)
        self._network = network.to(device)
        self._mean = torch.tensor(metadata.mean, device=device).view(3, 1, 1)
        self._std = torch.tensor(metadata.std, device=device).view(3, 1, 1)
        # noise, since a constant image could hide a wrong fold
        example = torch.randn(2, 3, *image_size, generator=torch.Generator().manual_seed(0))
        try:
            fold_batchnorm(self._network, example.to(device))
        except AssertionError as error:  # timm's way to say that a size does not suit an architecture
            raise ValueError(
                f"{metadata.architecture} cannot take images of {image_size[1]} x {image_size[0]} pixels: "
                f"{error}"
            ) from error
        self._network.to(self._dtype, memory_format=torch.channels_last)

    @full_float32()
    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> dict[str, Tensor]:
        """images: uint8 (B, 3, H, W) -> {stage: float32 (B, C, h, w)} on the device, the same bits with
        any number of CPU threads."""
        pixels = torch.from_numpy(np.array(images))  # copied: the cache is read-only
        if self._device.type != "cpu":
            return self._maps(pixels)
        images_at_once = min(16, max(4, CPU_PIXELS // pixels.shape[2:].numel()))
        found = one_thread_each(self._maps, pixels.split(images_at_once), self._device)
        return {stage: torch.cat([maps[stage] for maps in found]) for stage in found[0]}

    def _maps(self, pixels: Tensor) -> dict[str, Tensor]:
        x = (pixels.to(self._device).float() / 255 - self._mean) / self._std
        x = x.to(self._dtype, memory_format=torch.channels_last)
        return {stage: maps.float() for stage, maps in self._network(x).items()}


def _check_finite(maps: Tensor, image_name, stage: str) -> None:
    if torch.isfinite(maps.sum()):  # one cheap pass: a single NaN or infinity reaches the sum
        return
    bad = (~torch.isfinite(maps)).flatten(1).any(1).nonzero()
    if len(bad):
        raise ValueError(
            f"features of {stage} are not finite, first for the image {image_name(int(bad[0]))}: are the "
            f"weights sound?"
        )
