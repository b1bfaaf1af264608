"""Reading a pre-training corpus from its packed file, beside decoding JPEGs of ImageNet's usual size.

    OMP_NUM_THREADS=1 python benchmarks/packed.py [--images 400] [--write]

Generated JPEGs of 500 x 375 pixels, squashed to 256 x 256; batches of 64 in random order, one thread, CPU
time, median of five runs. Page cache warm for both.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from report import machine, write_section

from spd.data.corpus import open_packed, pack
from spd.data.readers.class_folders import read

SIZE, BATCH = 256, 64


def generate(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 256, (24, 32, 3), np.uint8)
        pixels = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        pixels = np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
        path = folder / "train" / f"n{i % 10:08d}" / f"{i:05d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


def decode(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        squashed = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(squashed).transpose(2, 0, 1)


def cpu_seconds(function) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--images", type=int, default=400)
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, options.images)
        manifest = read(folder)
        paths = [manifest.image_path(row) for row in manifest]
        size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
        pack(manifest, SIZE, folder / "packed.safetensors", workers=1)
        corpus = open_packed(folder / "packed.safetensors", manifest)
        order = np.random.default_rng(1).permutation(len(paths))
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        packed = cpu_seconds(lambda: [corpus.batch(batch) for batch in batches])
        decoded = cpu_seconds(lambda: [np.stack([decode(paths[i]) for i in batch]) for batch in batches])
    text = "\n".join(
        [
            "## Reading a packed corpus",
            "",
            f"`OMP_NUM_THREADS=1 python benchmarks/packed.py --images {options.images}`: {machine()}; "
            "one thread, CPU time.",
            "",
            "| | CPU time per image, against the packed file |",
            "|---|---|",
            "| packed file, mapped | 1 |",
            f"| decoding and squashing the JPEG (500 x 375, {size:.0f} kB) | {decoded / packed:.0f} |",
        ]
    )
    print(f"<!-- begin packed -->\n{text}\n<!-- end packed -->")
    if options.write:
        write_section("packed", text)


if __name__ == "__main__":
    main()
