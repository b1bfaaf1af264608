"""What the checks of a data set cost beside only decoding its images, at VisA's and MVTec-AD's image sizes.

    OMP_NUM_THREADS=1 python benchmarks/checks.py [--images 10000] [--write]

The images are generated into a temporary folder first (11 GB for 10,000 of the larger kind); every fifth is
an anomaly with a mask. CPU time of this process: one run over all of them; beside decoding, the median of
three runs over 200. The page cache is warm, so a slow disk comes on top.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from report import machine, write_section

from spd.data.checks import check
from spd.data.manifest import make

# Images that are really encoded; the others differ from them in bytes after the end of the image.
DISTINCT = 20
THREADS = 2
KINDS = {
    # name: (width, height), suffix, sensor noise, encoder options. The archives hold 178 kB an image in VisA
    # and 983 kB in MVTec-AD, whose largest images have this size.
    "VisA-like JPEG": ((1500, 1000), ".JPG", 3.2, {"quality": 88}),
    "MVTec-like PNG": ((1024, 1024), ".png", 0.15, {}),
}


def part(seed: int, size: tuple[int, int], noise: float) -> np.ndarray:
    """A smooth part with sensor noise: uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 220, (20, 20, 3), np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.clip(pixels + random.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


def generate(folder: Path, kind: str, count: int) -> list[tuple[str, ...]]:
    size, suffix, noise, options = KINDS[kind]
    files = []
    for seed in range(min(DISTINCT, count)):
        path = folder / f"source{suffix}"
        Image.fromarray(part(seed, size, noise)).save(path, **options)
        files.append(path.read_bytes())
    marked = np.zeros(size[::-1], np.uint8)
    marked[400:440, 300:380] = 255
    Image.fromarray(marked).save(folder / "mask.png")
    mask = (folder / "mask.png").read_bytes()
    rows = []
    for i in range(count):
        name, truth = f"{i:05d}{suffix}", f"{i:05d}_mask.png" if i % 5 == 0 else ""
        (folder / name).write_bytes(files[i % len(files)] + i.to_bytes(4, "little"))
        if truth:
            (folder / truth).write_bytes(mask)
        split, label = ("test", "anomaly") if truth else ("train", "normal")
        rows.append(("part", split, label, "", name, truth))
    return rows


def seconds(function, runs: int) -> float:
    """Median of this process's CPU time."""
    times = []
    for _ in range(runs):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def decode(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("RGB")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--images", type=int, default=10_000)
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    lines = [
        "## Checking a data set",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/checks.py --images {options.images} --write`: {machine()}; "
        f"{THREADS} threads, a mask for every fifth image. Last column: CPU time compared with decoding "
        "200 of the images to RGB with Pillow and nothing else. VisA has 10,821 images, MVTec-AD "
        "5,354 of this size at most.",
        "",
        "| images | kB each | CPU time to check all | check / only decoding |",
        "|---|---|---|---|",
    ]
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows = generate(folder, kind, options.images)
            manifest = make(rows, folder, 127)
            paths = [manifest.image_path(row) for row in manifest]
            size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
            whole = seconds(lambda m=manifest: check(m, workers=THREADS, progress=False), runs=1)
            few = make(rows[:200], folder, 127)
            checked = seconds(lambda m=few: check(m, workers=THREADS, progress=False), runs=3)
            with ThreadPoolExecutor(THREADS) as pool:
                decoded = seconds(lambda p=pool, f=paths[:200]: list(p.map(decode, f)), runs=3)
        lines.append(f"| {options.images:,} {kind} | {size:.0f} | {whole:.0f} s | {checked / decoded:.2f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    text = "\n".join(lines)
    print(f"<!-- begin checks -->\n{text}\n<!-- end checks -->")
    if options.write:
        write_section("checks", text)


if __name__ == "__main__":
    main()
