"""What a geometry leaves of the defects: cut off by the crop, or lost when masks are made smaller.

    python benchmarks/defects_kept.py --manifests results/paper/manifests/visa/1cls.csv [--write]

Reads the masks of any manifests; where SPD_DATA holds magnetic_tile, its masks too. The geometry is that of
the profiles `official` and `paper` (short side 256, centre crop 224), or `--resize` and `--crop`. Three
losses, apart from each other:

crop     share of the defects' pixels outside the crop, and images whose whole defect lies there;
nearest  connected defects (8 neighbours) without a single pixel once masks are resized as we do, uncropped;
official the same after the official PatchCore's way: bilinear, then only what is still exactly 1.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import magnetic_tile
import numpy as np
from harness import benchmark, table
from PIL import Image

from spd.data.geometry import apply_to_mask, resized_size
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import Manifest, read
from spd.data.masks import read_mask
from spd.data.readers.registry import read_dataset

HEADER = (
    "data set, object | anomalous images | pixels cut off by the crop | images touched | images lost | "
    "defects | lost by nearest | area, nearest | lost by the official way | area, official"
)


def losses(mask: np.ndarray, geometry: GeometryOptions) -> Counter:
    """Counts of one mask, uint8 (H, W) in {0, 1}; areas as shares of the picture's own."""
    count, regions = cv2.connectedComponents(mask, connectivity=8)
    small = apply_to_mask(regions.astype(np.int32), geometry.model_copy(update={"crop": None}))
    inside = apply_to_mask(regions.astype(np.int32), geometry)
    height, width = resized_size(*mask.shape, geometry)
    picture = Image.fromarray(mask.astype(np.float32))
    exact = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)) >= 1 - 1e-6
    pixels, kept = int((small > 0).sum()), int((inside > 0).sum())
    return Counter(
        images=1,
        pixels=pixels,
        cut=pixels - kept,
        touched=int(kept < pixels),
        gone=int(pixels > 0 and not kept),
        defects=count - 1,
        nearest=count - len(np.union1d(small, [0])),
        official=count - len(np.union1d(small[exact], [0])),
        area=float(mask.sum() * height * width / mask.size),
        area_nearest=pixels,
        area_official=int(exact.sum()),
    )


def sums(manifest: Manifest, geometry: GeometryOptions) -> Iterator[tuple[str, Counter]]:
    """(object, sums over its masks), then (`all`, ...) where there are several objects."""
    total = Counter()
    for name in manifest.objects:
        own = Counter()
        for row in manifest.part([name]):
            if row.label == "anomaly" and row.mask:
                own.update(losses(read_mask(manifest.mask_path(row), manifest.mask_threshold), geometry))
        total.update(own)
        if own:
            yield name, own
    if total and len(manifest.objects) > 1:
        yield "all", total


def rows(manifests: dict[str, Manifest], geometry: GeometryOptions):
    for label, manifest in manifests.items():
        for name, s in sums(manifest, geometry):
            cut, touched = f"{s['cut'] / s['pixels']:.1%}", f"{s['touched'] / s['images']:.1%}"
            areas = [f"{s[kind] / s['area']:.1%}" for kind in ("area_nearest", "area_official")]
            counts = s["images"], cut, touched, s["gone"], s["defects"], s["nearest"]
            yield f"{label}, {name}", *counts, areas[0], s["official"], areas[1]


def measure(options) -> str:
    geometry = GeometryOptions(resize=options.resize, mode="short", crop=options.crop)
    opened = {path: read(path) for path in options.manifests if path}
    manifests = {m.meta.get("dataset") or Path(path).parent.name: m for path, m in opened.items()}
    if root := magnetic_tile.root():
        tiles = read_dataset("split_csv", root, "1cls", csv="split_csv/1cls.csv", mask_threshold=127)
        manifests["magnetic tiles"] = tiles
    if not manifests:
        raise SystemExit("give the CSV of a manifest with --manifests, or set SPD_DATA")
    return table(HEADER, rows(manifests, geometry))


if __name__ == "__main__":
    sizes = {"manifests": ([""], [""]), "resize": (256, 256), "crop": (224, 224)}
    benchmark(measure, "defects-kept", options=sizes, page="detectors.md")
