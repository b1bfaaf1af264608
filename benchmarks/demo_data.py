"""Time to draw the demo's archives, and what the encoders of our own cost.

    OMP_NUM_THREADS=1 python benchmarks/demo_data.py [--write]

The three archives are three jobs for two processes of one thread each, as `snakemake --cores 2` runs them.
The encoders are compared with Pillow's on the same images in the same run: median of five, one thread.
"""

import argparse
import io
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from report import machine, write_section

from demo_data.archives import visa_photograph, write_classes, write_mvtec, write_visa
from demo_data.jpeg import encode_jpeg
from demo_data.parts import PARTS
from demo_data.png import encode_png
from spd.data.demo_options import DemoOptions
from spd.files import file_sha256

JOBS = {"visa.tar": write_visa, "mvtec.tar.xz": write_mvtec, "classes.tar": write_classes}


def job(path: Path) -> tuple[str, float, int, str]:
    """Draws one archive: its name, the CPU seconds it took, its bytes and their SHA-256."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    JOBS[path.name](path, DemoOptions())
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return path.name, cpu, path.stat().st_size, file_sha256(path)


def seconds(action: Callable[[np.ndarray], object], images: list[np.ndarray]) -> float:
    """Median time of five for all images."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for image in images:
            action(image)
        times.append(time.perf_counter() - start)
    return median(times)


def pillow(image: np.ndarray, kind: str, **options) -> bytes:
    """Pillow's file of the image."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(2, maxtasksperchild=1) as pool:
        start = time.perf_counter()
        jobs = pool.map(job, [Path(folder, name) for name in JOBS], chunksize=1)
        wall = time.perf_counter() - start
    images = [
        visa_photograph(PARTS[name], DemoOptions(), "normal", i).image
        for name in ("board", "gelcaps")
        for i in (0, 1)
    ]
    jpeg = seconds(encode_jpeg, images) / seconds(
        lambda i: pillow(i, "JPEG", quality=92, subsampling=0), images
    )
    png = seconds(encode_png, images) / seconds(lambda i: pillow(i, "PNG"), images)
    lines = ["| archive | CPU s | MB | SHA-256 |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {cpu:.1f} | {size / 1e6:.1f} | {sha256[:16]}... |" for name, cpu, size, sha256 in jobs
    ]
    lines += [
        "",
        f"All three in two processes: {wall:.0f} s. Time relative to Pillow's encoder: JPEG {jpeg:.0f}, "
        f"PNG {png:.1g}.",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/demo_data.py --write`; {machine()}.",
    ]
    markdown = "### Demo data\n\n" + "\n".join(lines)
    print(f"<!-- begin demo_data -->\n{markdown}\n<!-- end demo_data -->")
    if arguments.write:
        write_section("demo_data", markdown)


if __name__ == "__main__":
    main()
