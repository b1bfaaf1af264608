"""The images of a pre-training: decoded once, squashed to a square of uint8, and then only indexed.

In memory for small sets; for ImageNet a packed file (`pack`), which is mapped, not read: one 256 px image is
a copy of 196,608 bytes instead of a JPEG to decode (docs/performance.md). The order of training images is a
function of (seed, epoch).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from spd.data.decoding import read_rgb
from spd.data.manifest import Manifest
from spd.seeds import permutation
from spd.tensors import TensorWriter, open_tensors

FORMAT = "1"
GEOMETRY = {
    "crop": "none",  # the whole image, squashed: crops are drawn at training, in true proportions
    "resize": "bilinear, both sides to size",
    "order": "object, split, label, image",  # the manifest's
}
"""What the header of a packed file says beside its size."""


@dataclass(frozen=True)
class Corpus:
    """Images of one size, each with its class.

    images: uint8 (N, 3, S, S), RGB, in memory or mapped. sizes: int32 (N, 2), height and width before they
    were squashed. labels: int64 (N,), the place of the class in `classes`. names: the image files, relative
    to the manifest's root. digest: SHA-256 of what the images are (manifest and size, or the bytes
    themselves). validation: int64, the places of the images that the data set itself keeps for measuring
    (ImageNet's val/); none of them is trained on.
    """

    images: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    digest: str
    validation: np.ndarray = field(default_factory=lambda: np.arange(0))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int] | np.ndarray) -> torch.Tensor:
        """The images at `indices`: uint8 (B, 3, S, S), a copy."""
        return torch.from_numpy(self.images[np.asarray(indices)])

    def split(self, held_out: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(places of the training images, places of those to judge by): the data set's own validation images
        where it has some, else drawn as `split` does."""
        if len(self.validation):
            return np.setdiff1d(np.arange(len(self)), self.validation), self.validation
        return split(self.labels, held_out, seed)


def from_arrays(images: np.ndarray, labels: np.ndarray, names: Sequence[str] | None = None) -> Corpus:
    """A corpus of images already in memory: uint8 (N, 3, S, S), integer labels (N,). For tests and
    benchmarks.

    Raises ValueError where shapes or types do not match.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or len(images) != len(labels):
        raise ValueError(
            f"images must be uint8 (N, 3, S, S) with N labels, "
            f"not {images.dtype} {images.shape} with {len(labels)}"
        )
    found, places = np.unique(labels, return_inverse=True)
    digest = hashlib.sha256(
        np.ascontiguousarray(images).tobytes() + places.astype("<i8").tobytes()
    ).hexdigest()
    return Corpus(
        images=images,
        sizes=np.tile(np.array(images.shape[2:], dtype=np.int32), (len(images), 1)),
        labels=places.astype(np.int64),
        classes=tuple(map(str, found)),
        names=tuple(names) if names is not None else tuple(f"image {i}" for i in range(len(images))),
        digest=digest,
    )


def load(manifest: Manifest, size: int, workers: int | None = None) -> Corpus:
    """Decodes the manifest's images into memory (N * 3 * size * size bytes); the object is the class, and
    images of the split `test` are the corpus' validation images.

    Raises ValueError that lists all images that cannot be read.
    """
    manifest = _normal(manifest)
    images = np.empty((len(manifest), 3, size, size), dtype=np.uint8)
    sizes = np.empty((len(manifest), 2), dtype=np.int32)
    for i, (image, true_size) in enumerate(_decoded(manifest, size, workers)):
        images[i], sizes[i] = image, true_size
    return _corpus(manifest, size, images, sizes)


def pack(
    manifest: Manifest,
    size: int,
    path: str | os.PathLike[str],
    workers: int | None = None,
    *,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Writes the decoded images to one file that `open_packed` maps; the file appears whole or not
    at all. `sources`: stage -> hash of the code that made it, kept with the file.

    images: uint8 (N, 3, size, size); sizes: int32 (N, 2), height and width before. The header says, as
    strings: format (of this file), size (the side in pixels), crop, resize, order (of the images), digest,
    sources. Raises ValueError that lists all images that cannot be read, OSError where the disk has no room.
    """
    manifest = _normal(manifest)
    shapes = {"images": ("uint8", (len(manifest), 3, size, size)), "sizes": ("int32", (len(manifest), 2))}
    header = {"format": FORMAT, "size": str(size), **GEOMETRY, "digest": _digest(manifest, size)}
    header["sources"] = json.dumps(dict(sources or {}), sort_keys=True)
    with TensorWriter(path, shapes, header) as writer:
        for i, (image, true_size) in enumerate(_decoded(manifest, size, workers)):
            writer.write("images", image[None], i)
            writer.write("sizes", true_size[None], i)


def packed_sources(path: str | os.PathLike[str]) -> dict[str, str]:
    """What `pack` was given as `sources`."""
    return json.loads(open_tensors(path)[1].get("sources", "{}"))


def open_packed(path: str | os.PathLike[str], manifest: Manifest) -> Corpus:
    """The corpus that `pack` wrote, mapped from its file.

    Raises ValueError if it was packed from another manifest or in another format.
    """
    tensors, metadata = open_tensors(path)
    stated = {"format": FORMAT, **GEOMETRY}
    other = [f"{key} {metadata.get(key)!r}, not {v!r}" for key, v in stated.items() if metadata.get(key) != v]
    if other:
        raise ValueError(f"{path}: another packed format ({'; '.join(other)}); delete it and pack it again")
    manifest = _normal(manifest)
    size = int(metadata["size"])
    if metadata["digest"] != _digest(manifest, size):
        raise ValueError(f"{path}: was packed from another manifest; delete it and pack it again")
    return _corpus(manifest, size, tensors["images"], tensors["sizes"])


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which `count` training images are visited in an epoch: int64 (count,), a permutation."""
    return permutation(count, seed, "order", epoch).numpy()


def split(labels: np.ndarray, held_out: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(training indices, held-out indices), both sorted: the same share of each class, at least one image,
    drawn by the seed.

    `held_out`: a share below 1, or about so many images in all; 0 holds nothing out. Raises ValueError where
    nothing would be left to train on.
    """
    if held_out == 0:
        return np.arange(len(labels)), np.arange(0)
    share = held_out if held_out < 1 else held_out / len(labels)
    kept_back = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, round(share * len(members)))
        kept_back.append(members[permutation(len(members), seed, "held out", int(label)).numpy()[:count]])
    kept_back = np.sort(np.concatenate(kept_back))
    if len(kept_back) == len(labels):
        raise ValueError(f"held_out: {held_out:g} leaves none of the {len(labels)} images to train on")
    return np.setdiff1d(np.arange(len(labels)), kept_back), kept_back


def _normal(manifest: Manifest) -> Manifest:
    """The images of a corpus: those to train on, and those of the same classes to measure on."""
    rows = manifest.rows
    normal = rows["label"] == "normal"
    classes = rows["object"][normal & (rows["split"] == "train")].unique()
    return manifest.where(normal & rows["object"].isin(classes))


def _corpus(manifest: Manifest, size: int, images: np.ndarray, sizes: np.ndarray) -> Corpus:
    classes = tuple(manifest.objects)
    places = {name: i for i, name in enumerate(classes)}
    return Corpus(
        images=images,
        sizes=sizes,
        labels=np.array([places[name] for name in manifest.rows["object"]], dtype=np.int64),
        classes=classes,
        names=tuple(manifest.rows["image"]),
        digest=_digest(manifest, size),
        validation=np.flatnonzero(manifest.rows["split"] == "test"),
    )


def _digest(manifest: Manifest, size: int) -> str:
    facts = [manifest.split_hash, manifest.meta.get("fingerprint"), size]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _decoded(manifest: Manifest, size: int, workers: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    paths = [manifest.image_path(row) for row in manifest]
    workers = workers or len(os.sched_getaffinity(0))
    chunk = 64 * workers  # bounds what is decoded but not yet taken
    unreadable = []
    with (
        ThreadPoolExecutor(workers) as pool,  # PIL lets go of the interpreter while it decodes
        tqdm(total=len(paths), desc="decode", unit="image", mininterval=1) as bar,
    ):
        for start in range(0, len(paths), chunk):
            for found in pool.map(
                lambda path: _decode(path, size, manifest.max_pixels), paths[start : start + chunk]
            ):
                bar.update()
                if isinstance(found, str):
                    unreadable.append(found)
                elif not unreadable:
                    yield found
    if unreadable:  # after a look at all of them, so that they can be mended in one go
        raise ValueError(f"{len(unreadable)} of {len(paths)} images:\n  " + "\n  ".join(unreadable))


def _decode(path: Path, size: int, max_pixels: int) -> tuple[np.ndarray, np.ndarray] | str:
    try:
        rgb = read_rgb(path, max_pixels=max_pixels)
    except (ValueError, OSError) as error:
        return str(error)
    squashed = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(squashed).transpose(2, 0, 1), np.array([rgb.height, rgb.width], dtype=np.int32)
