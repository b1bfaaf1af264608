"""The image cache: one safetensors file with the pixels of some objects of a manifest, and their rows."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from spd.data.decoding import read_rgb
from spd.data.geometry import apply_to_image, apply_to_mask, final_size
from spd.data.geometry_options import GeometryOptions
from spd.data.image_files import open_image
from spd.data.manifest import COLUMNS, Manifest, Row
from spd.data.masks import read_mask
from spd.tensors import TensorWriter, open_tensors


def write_cache(
    manifest: Manifest,
    objects: Sequence[str] | None,
    geometry: GeometryOptions,
    path: Path | str,
    *,
    workers: int = 1,
    progress: bool = True,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Decodes and resizes each image of `objects` (None: all) once, and writes `path` (atomically).

    Per object: `NAME/images` uint8 (N, 3, H, W), training rows first, then test rows, each in the manifest's
    order; `NAME/masks` uint8 in {0, 1} (N, H, W), all 0 for normal images, and only if every anomalous image
    of the object has a mask (a warning says which object lacks some). `workers` threads decode; the file's
    bytes do not depend on them. `sources`: stage -> hash of the code that made it, kept with the file.

    Raises ValueError, naming the file, for an image that cannot be decoded, a mask of another size than its
    image, and images of one object that end in different sizes.
    """
    rows = {name: _in_order(manifest, name) for name in (manifest.objects if objects is None else objects)}
    shapes, with_masks = {}, {}
    for name, of_object in rows.items():
        first = manifest.image_path(of_object[0])
        with open_image(first, max_pixels=manifest.max_pixels) as image:  # reads the header only
            height, width = final_size(image.height, image.width, geometry)
        shapes[f"{name}/images"] = ("uint8", (len(of_object), 3, height, width))
        with_masks[name] = _has_masks(name, of_object)
        if with_masks[name]:
            shapes[f"{name}/masks"] = ("uint8", (len(of_object), height, width))
    metadata = {
        "geometry": json.dumps(geometry.model_dump()),
        "split_hash": json.dumps(manifest.split_hash),
        "rows": json.dumps(rows, ensure_ascii=False),  # object -> rows in the order of COLUMNS
        "sources": json.dumps(dict(sources or {}), sort_keys=True),
    }

    def prepare(row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        image = read_rgb(manifest.image_path(row), max_pixels=manifest.max_pixels)
        mask_path = manifest.mask_path(row) if with_masks[row.object] else None
        mask = None
        if mask_path is not None:
            mask = read_mask(mask_path, manifest.mask_threshold, max_pixels=manifest.max_pixels)
            if mask.shape != (image.height, image.width):
                raise ValueError(
                    f"{mask_path} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {image.width} x "
                    f"{image.height}"
                )
            mask = apply_to_mask(mask, geometry)
        return apply_to_image(image, geometry), mask

    with (
        TensorWriter(path, shapes, metadata) as writer,
        ThreadPoolExecutor(workers) as pool,  # Pillow decodes and resizes without the interpreter's lock
        tqdm(total=sum(map(len, rows.values())), desc="images", unit="image", disable=not progress) as bar,
    ):
        for name, of_object in rows.items():
            size = shapes[f"{name}/images"][1][2:]
            for i, (row, (image, mask)) in enumerate(_ahead(pool, prepare, of_object, 4 * workers)):
                if image.shape[:2] != size:
                    raise ValueError(
                        f"{manifest.image_path(row)} becomes {image.shape[1]} x {image.shape[0]} pixels, "
                        f"but the first image of "
                        f"{name} {size[1]} x {size[0]}: set geometry mode: square, or a crop"
                    )
                writer.write(f"{name}/images", image.transpose(2, 0, 1)[None], i)
                if with_masks[name]:
                    mask = np.zeros(size, np.uint8) if mask is None else mask
                    writer.write(f"{name}/masks", mask[None], i)
                bar.update()


class ImageCache:
    """Reads what `write_cache` wrote; arrays are mapped from the file, not loaded."""

    def __init__(self, path: Path | str):
        """Raises ValueError if `path` is no image cache."""
        self.path = Path(path)
        self._tensors, metadata = open_tensors(path)
        if "rows" not in metadata or "geometry" not in metadata:
            raise ValueError(f"{path} is no image cache")
        self.geometry = GeometryOptions(**json.loads(metadata["geometry"]))
        self.split_hash: str = json.loads(metadata["split_hash"])
        self.sources: dict[str, str] = json.loads(metadata.get("sources", "{}"))
        """Stage -> hash of the code that made this cache and what it was made of."""
        self._rows = {
            name: pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)
            for name, rows in json.loads(metadata["rows"]).items()
        }

    @property
    def objects(self) -> list[str]:
        """Names of the objects, in the order they were written."""
        return list(self._rows)

    def rows(self, object: str, split: str | None = None) -> pd.DataFrame:
        """The manifest's rows (columns object, split, label, defect, image, mask) in the order of the arrays,
        index 0 ..."""
        return self._of(object)[self.selection(object, split)].reset_index(drop=True)

    def images(self, object: str, split: str | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W); `split` train or test, None: both, training images first."""
        selection = self.selection(object, split)
        return self._tensors[f"{object}/images"][selection]

    def masks(self, object: str, split: str | None = None) -> np.ndarray | None:
        """uint8 in {0, 1} (N, H, W), or None for an object whose anomalies have no masks."""
        selection = self.selection(object, split)
        masks = self._tensors.get(f"{object}/masks")
        return None if masks is None else masks[selection]

    def selection(self, object: str, split: str | None) -> slice:
        """Where the images of a split lie in the arrays of an object. Raises ValueError for a split that is
        not train or test."""
        splits = self._of(object)["split"]
        train = int((splits == "train").sum())
        parts = {None: slice(0, len(splits)), "train": slice(0, train), "test": slice(train, len(splits))}
        if split not in parts:
            raise ValueError(f"split must be train or test, not {split!r}")
        return parts[split]

    def _of(self, object: str) -> pd.DataFrame:
        if object not in self._rows:
            raise ValueError(f"{self.path} has no object {object!r}; there are {', '.join(self._rows)}")
        return self._rows[object]


def _in_order(manifest: Manifest, name: str) -> list[Row]:
    rows = list(manifest.part([name]))
    return [row for split in ("train", "test") for row in rows if row.split == split]


def _has_masks(name: str, rows: Sequence[Row]) -> bool:
    anomalies = [row for row in rows if row.label == "anomaly"]
    without = [row for row in anomalies if not row.mask]
    if without and len(without) < len(anomalies):
        warnings.warn(
            f"{name}: {len(without)} of {len(anomalies)} anomalous images have no mask (the first: "
            f"{without[0].image}), "
            "so its segmentation is not measured",
            stacklevel=3,
        )
    return not without


def _ahead(pool: ThreadPoolExecutor, function, items: Sequence, depth: int) -> Iterator[tuple]:
    """(item, function(item)) in order, `depth` of them under way, so that finished images never pile up in
    memory."""
    futures = []
    for item in items:
        futures.append((item, pool.submit(function, item)))
        if len(futures) > depth:
            done, future = futures.pop(0)
            yield done, future.result()
    for item, future in futures:
        yield item, future.result()
