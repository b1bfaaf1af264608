"""Reading a pre-training corpus from its packed file, beside decoding JPEGs of ImageNet's usual size.

Generated JPEGs of 500 x 375 pixels, squashed to 256 x 256; batches of 64 in random order, one thread, CPU
time, median of five runs in turns. Page cache warm for both.
"""

import tempfile
from pathlib import Path

import numpy as np
import photographs
from harness import benchmark, ratios, table, take_turns
from PIL import Image

from spd.data.corpus import open_packed, pack
from spd.data.readers.class_folders import read

SIZE, BATCH = 256, 64


def decode(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        squashed = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(squashed).transpose(2, 0, 1)


def measure(options) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(options.images):
            path = folder / "train" / f"n{i % 10:08d}" / f"{i:05d}.JPEG"
            photographs.write(path, i, (500, 375), 12, quality=90)
        manifest = read(folder)
        paths = [manifest.image_path(row) for row in manifest]
        size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
        pack(manifest, SIZE, folder / "packed.safetensors", workers=1)
        corpus = open_packed(folder / "packed.safetensors", manifest)
        order = np.random.default_rng(1).permutation(len(paths))
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        entrants = {
            "packed": lambda: [corpus.batch(batch) for batch in batches],
            "decoded": lambda: [np.stack([decode(paths[i]) for i in batch]) for batch in batches],
        }
        seconds = take_turns(entrants, repeats=5)
    decoding = f"decoding and squashing the JPEG (500 x 375, {size:.0f} kB)"
    times = f"{np.median(ratios(seconds['decoded'], seconds['packed'])):.0f}"
    rows = [("packed file, mapped", 1), (decoding, times)]
    return "One thread, CPU time.\n\n" + table(" | CPU time per image, against the packed file", rows)


if __name__ == "__main__":
    benchmark(measure, "packed", "## Reading a packed corpus", {"images": (400, 70)})
