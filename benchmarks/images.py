"""Decoding and resizing once into the image cache, against decoding at each use.

python benchmarks/images.py [--write]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import machine, write_section

from spd.data.cache import ImageCache, write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import make

IMAGES, REPEATS, SIDE = 24, 5, 256


def photographs(root: Path) -> list[Path]:
    """JPEGs of VisA's size, 1500 x 1000: smooth shapes and fine grain, about 0.5 MB each."""
    rng, paths = np.random.default_rng(0), []
    for i in range(IMAGES):
        coarse = rng.integers(0, 256, (20, 30, 3), np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((1500, 1000), Image.Resampling.BICUBIC))
        grain = rng.normal(0, 9, smooth.shape)
        paths.append(root / f"{i}.jpg")
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def measure(root: Path) -> dict[str, list[float]]:
    """Variant -> CPU seconds per image, one value a repeat; the variants take turns within each repeat."""
    paths = photographs(root)
    manifest = make([("photo", "test", "normal", "", path.name, "") for path in paths], root, 0)
    size = (SIDE, SIDE)

    def pillow():
        for path in paths:
            np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR))

    def v2_float():  # PIL -> float tensor -> antialiased resize, as anomalib 2 reads and transforms
        for path in paths:
            image = F.to_dtype(F.to_image(Image.open(path).convert("RGB")), torch.float32, scale=True)
            F.resize(image, list(size), antialias=True)

    def v2_uint8():
        for path in paths:
            F.resize(decode_image(str(path), ImageReadMode.RGB), list(size), antialias=True)

    def cache():
        write_cache(manifest, None, GeometryOptions(resize=SIDE), root / "cache", progress=False)

    def reread():
        np.array(ImageCache(root / "cache").images("photo"))

    cache()
    times: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for run in (pillow, v2_float, v2_uint8, cache, reread):
            begin = time.process_time()
            run()
            times.setdefault(run.__name__, []).append((time.process_time() - begin) / IMAGES)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    write = parser.parse_args().write
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder))

    def ratio(name: str) -> str:
        return f"{statistics.median(a / b for a, b in zip(times['pillow'], times[name], strict=True)):.2f}"

    labels = {
        "pillow": "Pillow: open, resize bilinear (reference)",
        "v2_float": "Pillow, then float and torchvision v2 antialiased resize (anomalib's way)",
        "v2_uint8": "torchvision decode, uint8 antialiased resize (not Pillow's very pixels)",
        "cache": "image cache, first time: Pillow's pixels, and written",
        "reread": "image cache, every later time",
    }
    rows = "\n".join(f"| {text} | {ratio(name)} |" for name, text in labels.items())
    markdown = f"""## Images: decode and resize

JPEG of 1500 x 1000 to {SIDE} x {SIDE}, one thread, CPU time, {IMAGES} images, median of {REPEATS} repeats.
Images per second as a multiple of the reference's, in the same run. `python benchmarks/images.py --write`

| | x reference |
|---|---|
{rows}

{machine()}"""
    print(markdown)
    if write:
        write_section("images", markdown)


if __name__ == "__main__":
    main()
