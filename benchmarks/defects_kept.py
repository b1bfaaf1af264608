"""What a geometry leaves of the defects: cut off by the crop, or lost when masks are made smaller.

    python benchmarks/defects_kept.py results/paper/manifests/visa/1cls.csv [--write]
    SPD_DATA=... python benchmarks/defects_kept.py results/demo/manifests/*/1cls.csv [--write]

Reads the masks of any manifests; where SPD_DATA holds magnetic_tile, its masks too. The geometry is that of
the profiles `official` and `paper` (short side 256, centre crop 224), or `--resize` and `--crop`. Three
losses, apart from each other:

crop     share of the defects' pixels outside the crop, and images whose whole defect lies there;
nearest  connected defects (8 neighbours) without a single pixel once masks are resized as we do, uncropped;
official the same after the official PatchCore's way: bilinear, then only what is still exactly 1.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import write_section

from spd.data.geometry import apply_to_mask, resized_size
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import Manifest, read
from spd.data.masks import read_mask
from spd.data.readers.registry import read_dataset

HEADER = (
    "| data set, object | anomalous images | pixels cut off by the crop | images touched | images lost | "
    "defects | lost by nearest | area, nearest | lost by the official way | area, official |"
)


def losses(mask: np.ndarray, geometry: GeometryOptions) -> dict[str, float]:
    """Counts of one mask, uint8 (H, W) in {0, 1}; areas as shares of the picture's own."""
    whole = geometry.model_copy(update={"crop": None})
    count, regions = cv2.connectedComponents(mask, connectivity=8)
    small = apply_to_mask(regions.astype(np.int32), whole)
    inside = apply_to_mask(regions.astype(np.int32), geometry)
    height, width = resized_size(*mask.shape, geometry)
    soft = np.asarray(
        Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    )
    exact = soft >= 1 - 1e-6
    share = height * width / mask.size
    return {
        "images": 1,
        "pixels": int((small > 0).sum()),
        "cut": int((small > 0).sum() - (inside > 0).sum()),
        "touched": int((inside > 0).sum() < (small > 0).sum()),
        "gone": int((small > 0).any() and not (inside > 0).any()),
        "defects": count - 1,
        "nearest": count - len(np.union1d(small, [0])),
        "official": count - len(np.union1d(small[exact], [0])),
        "area": float(mask.sum() * share),
        "area_nearest": int((small > 0).sum()),
        "area_official": int(exact.sum()),
    }


def measure(manifest: Manifest, geometry: GeometryOptions) -> Iterator[tuple[str, dict[str, float]]]:
    """(object, sums over its masks), then (`all`, ...) where there are several objects."""
    total: dict[str, float] = {}
    for name in manifest.objects:
        sums: dict[str, float] = {}
        for row in manifest.part([name]):
            if row.label == "anomaly" and row.mask:
                mask = read_mask(manifest.mask_path(row), manifest.mask_threshold)
                for key, value in losses(mask, geometry).items():
                    sums[key] = sums.get(key, 0) + value
                    total[key] = total.get(key, 0) + value
        if sums:
            yield name, sums
    if total and len(manifest.objects) > 1:
        yield "all", total


def cells(name: str, s: dict[str, float]) -> str:
    return (
        f"| {name} | {s['images']:.0f} | {s['cut'] / s['pixels']:.1%} | {s['touched'] / s['images']:.1%} | "
        f"{s['gone']:.0f} | {s['defects']:.0f} | {s['nearest']:.0f} | {s['area_nearest'] / s['area']:.1%} | "
        f"{s['official']:.0f} | {s['area_official'] / s['area']:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", nargs="*", help="CSV files that the workflow wrote")
    parser.add_argument("--resize", type=int, default=256, help="short side in pixels")
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--write", action="store_true", help="replace this section of docs/detectors.md")
    arguments = parser.parse_args()
    geometry = GeometryOptions(resize=arguments.resize, mode="short", crop=arguments.crop)
    found = {path: read(path) for path in arguments.manifests}
    manifests = {m.meta.get("dataset") or Path(path).parent.name: m for path, m in found.items()}
    tiles = Path(os.environ.get("SPD_DATA", "")) / "magnetic_tile"
    if tiles.is_dir():
        manifests["magnetic tiles"] = read_dataset(
            "split_csv", tiles, "1cls", csv="split_csv/1cls.csv", mask_threshold=127
        )
    if not manifests:
        parser.error("give the CSV of a manifest, or set SPD_DATA")
    rows = [
        cells(f"{label}, {name}", sums)
        for label, manifest in manifests.items()
        for name, sums in measure(manifest, geometry)
    ]
    given = " ".join(["python benchmarks/defects_kept.py", *arguments.manifests])
    markdown = "\n".join([f"`SPD_DATA=... {given}`", "", HEADER, "|---" * 10 + "|", *rows])
    print(markdown)
    if arguments.write:
        write_section("defects-kept", markdown, "detectors.md")


if __name__ == "__main__":
    main()
