"""What the checks of a data set cost beside only decoding its images, at VisA's and MVTec-AD's image sizes.

The images are generated into a temporary folder first (11 GB for 10,000 of the larger kind); every fifth is
an anomaly with a mask. CPU time of this process: one run over all of them; beside decoding, the median of
three runs over 200. The page cache is warm, so a slow disk comes on top.
"""

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import photographs
from harness import benchmark, ratios, table, take_turns
from PIL import Image

from spd.data.checks import check
from spd.data.manifest import make

# Images that are really encoded; the others differ from them in bytes after the end of the image.
DISTINCT = 20
WORKERS = 2
KINDS = {
    # name: (width, height), suffix, sensor noise, encoder options. The archives hold 178 kB an image in VisA
    # and 983 kB in MVTec-AD, whose largest images have this size.
    "VisA-like JPEG": ((1500, 1000), ".JPG", 3.2, {"quality": 88}),
    "MVTec-like PNG": ((1024, 1024), ".png", 0.15, {}),
}


def generate(folder: Path, kind: str, count: int) -> list[tuple[str, ...]]:
    size, suffix, noise, encoder = KINDS[kind]
    source = folder / f"source{suffix}"
    files = [
        photographs.write(source, seed, size, noise, **encoder).read_bytes()
        for seed in range(min(DISTINCT, count))
    ]
    marked = np.zeros(size[::-1], np.uint8)
    marked[400:440, 300:380] = 255
    Image.fromarray(marked).save(folder / "mask.png")
    mask, rows = (folder / "mask.png").read_bytes(), []
    for i in range(count):
        name, truth = f"{i:05d}{suffix}", f"{i:05d}_mask.png" if i % 5 == 0 else ""
        (folder / name).write_bytes(files[i % len(files)] + i.to_bytes(4, "little"))
        if truth:
            (folder / truth).write_bytes(mask)
        split, label = ("test", "anomaly") if truth else ("train", "normal")
        rows.append(("part", split, label, "", name, truth))
    return rows


def decode(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("RGB")


def rows(count: int):
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(WORKERS) as pool:
            folder = Path(name)
            listed = generate(folder, kind, count)
            everything, few = make(listed, folder, 127), make(listed[:200], folder, 127)
            paths = [everything.image_path(row) for row in everything]
            size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
            check_all = {"all": lambda m=everything: check(m, workers=WORKERS, progress=False)}
            whole = take_turns(check_all, repeats=1, warm=False)["all"][0]
            beside = {
                "check": lambda m=few: check(m, workers=WORKERS, progress=False),
                "decode": lambda p=pool, f=paths[:200]: list(p.map(decode, f)),
            }
            seconds = take_turns(beside)
            times = statistics.median(ratios(seconds["check"], seconds["decode"]))
        yield f"{count:,} {kind}", f"{size:.0f}", f"{whole:.0f} s", f"{times:.2f}"


def measure(options) -> str:
    header = "images | kB each | CPU time to check all | check / only decoding"
    return f"""{WORKERS} threads, a mask for every fifth image. Last column: CPU time compared with decoding
200 of the images to RGB with Pillow and nothing else. VisA has 10,821 images, MVTec-AD 5,354 of this size
at most.

{table(header, rows(options.images))}"""


if __name__ == "__main__":
    benchmark(measure, "checks", "## Checking a data set", {"images": (10_000, 10)})
