"""What the checks of a data set cost beside only decoding its images, at VisA's and MVTec-AD's image sizes.

    OMP_NUM_THREADS=1 python benchmarks/checks.py [--images 10000] [--write]

The images are generated into a temporary folder first (13 GB for 10,000 of each kind). CPU time of this
process: one run over all of them, and beside decoding the median of three runs over 200. The page cache is
warm, so a slow disk comes on top.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from report import machine, write_section

from spd.datasets.checks import check
from spd.datasets.manifest import make

DISTINCT = (
    20  # images that are really encoded; the others differ from them in bytes after the end of the image
)
THREADS = 2
KINDS = {
    # name: (width, height), suffix, sensor noise, encoder options; VisA's JPEGs and MVTec-AD's PNGs weigh
    # about as much.
    "VisA-like JPEG": ((1500, 1000), ".JPG", 2.5, {"quality": 88}),
    "MVTec-like PNG": ((1024, 1024), ".png", 0.6, {}),
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
    rows = []
    for i in range(count):
        name = f"{i:05d}{suffix}"
        (folder / name).write_bytes(files[i % len(files)] + i.to_bytes(4, "little"))
        rows.append(("part", "test" if i % 5 == 0 else "train", "normal", "", name, ""))
    return rows


def cpu_seconds(function, runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
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
        f"`OMP_NUM_THREADS=1 python benchmarks/checks.py --images {options.images}`: {machine()}; {THREADS} "
        "threads, CPU time. Peer: decoding 200 of the files with Pillow to RGB and nothing else.",
        "",
        "| images | kB each | check / only decoding | CPU time to check all | on two free cores |",
        "|---|---|---|---|---|",
    ]
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows = generate(folder, kind, options.images)
            manifest = make(rows, folder, 127)
            paths = [manifest.image_path(row) for row in manifest]
            size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
            whole = cpu_seconds(lambda m=manifest: check(m, workers=THREADS, progress=False), runs=1)
            few = make(rows[:200], folder, 127)
            checked = cpu_seconds(lambda m=few: check(m, workers=THREADS, progress=False), runs=3)
            with ThreadPoolExecutor(THREADS) as pool:
                decoded = cpu_seconds(lambda p=pool, f=paths[:200]: list(p.map(decode, f)), runs=3)
        lines.append(
            f"| {options.images:,} {kind} | {size:.0f} | {checked / decoded:.2f} | {whole:.0f} s "
            f"| {whole / THREADS:.0f} s |"
        )
    text = "\n".join(lines)
    print(f"<!-- begin checks -->\n{text}\n<!-- end checks -->")
    if options.write:
        write_section("checks", text)


if __name__ == "__main__":
    main()
