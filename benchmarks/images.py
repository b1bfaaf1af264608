"""Decoding and resizing once into the image cache, against decoding at each use."""

import tempfile
from pathlib import Path

import numpy as np
import photographs
import torch
from harness import benchmark, ratios, table, take_turns
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as F

from spd.data.cache import ImageCache, write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import make

SIDE = 256


def measure(options) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = [
            photographs.write(root / f"{i}.jpg", i, (1500, 1000), 9, quality=90)
            for i in range(options.images)
        ]
        manifest = make([("photo", "test", "normal", "", path.name, "") for path in paths], root, 0)

        def pillow():
            for path in paths:
                image = Image.open(path).convert("RGB")
                np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))

        def v2_float():  # PIL -> float tensor -> antialiased resize, as anomalib 2 reads and transforms
            for path in paths:
                image = F.to_dtype(F.to_image(Image.open(path).convert("RGB")), torch.float32, scale=True)
                F.resize(image, [SIDE, SIDE], antialias=True)

        def v2_uint8():
            for path in paths:
                F.resize(decode_image(str(path), ImageReadMode.RGB), [SIDE, SIDE], antialias=True)

        entrants = {
            "Pillow: open, resize bilinear (reference)": pillow,
            "Pillow, then float and torchvision v2 antialiased resize (anomalib's way)": v2_float,
            "torchvision decode, uint8 antialiased resize (not Pillow's very pixels)": v2_uint8,
            "image cache, first time: Pillow's pixels, and written": lambda: write_cache(
                manifest, None, GeometryOptions(resize=SIDE), root / "cache", progress=False
            ),
            "image cache, every later time": lambda: np.array(ImageCache(root / "cache").images("photo")),
        }
        seconds = take_turns(entrants, repeats=options.repeats)
    reference = next(iter(seconds.values()))
    rows = [(name, f"{np.median(ratios(reference, each)):.2f}") for name, each in seconds.items()]
    return f"""JPEG of 1500 x 1000 to {SIDE} x {SIDE}, one thread, CPU time, {options.images} images, median
of {options.repeats} repeats. Images per second as a multiple of the reference's, in the same run.

{table(" | x reference", rows)}"""


if __name__ == "__main__":
    benchmark(measure, "images", "## Images: decode and resize", {"images": (24, 2), "repeats": (5, 1)})
