"""Peak memory of PatchCore's fit and score at full size: 200,000 patches of 1536 channels, coreset 10 %.

    python benchmarks/memory.py [--patches 200000] [--write]

256 images' worth of features of Wide ResNet-50's shapes (512 x 28 x 28 and 1024 x 14 x 14, low-rank
structure plus noise) lie in a memory-mapped file, as the workflow's do; a fresh process fits and scores them,
and its largest resident set, mapped pages included, stands beside the estimate that the guard checks.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import machine, write_section

from spd.detectors.options import PatchCoreOptions
from spd.detectors.patchcore import PatchCore, estimate_bytes
from spd.detectors.registry import DETECTORS
from spd.tensors import TensorWriter, open_tensors

SHAPES = {"layer2": (512, 28, 28), "layer3": (1024, 14, 14)}


def write_features(path: Path, images: int) -> None:
    rng = np.random.default_rng(0)
    mixing = {stage: rng.standard_normal((shape[0], 12), np.float32) for stage, shape in SHAPES.items()}
    with TensorWriter(path, {s: ("float32", (images, *shape)) for s, shape in SHAPES.items()}) as writer:
        for i in range(images):
            for stage, (channels, h, w) in SHAPES.items():
                maps = mixing[stage] @ rng.standard_normal((12, h * w), np.float32)
                maps += 0.5 * rng.standard_normal(maps.shape, np.float32)
                writer.write(stage, maps.reshape(1, channels, h, w), i)


def run(path: Path, patches: int, profile: str) -> dict:
    """In the fresh process: fit, score ten images, report. GiB and CPU seconds."""
    options = PatchCoreOptions(**{**DETECTORS["patchcore"].profiles[profile], "memory_gib": 8})
    features = open_tensors(path)[0]
    train = {stage: maps[: -(-patches // 784)] for stage, maps in features.items()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    begin = time.process_time()
    model = PatchCore(options).fit(train)
    model.score({stage: maps[-10:] for stage, maps in features.items()}, (224, 224))
    return {
        **model.report,
        "seconds": time.process_time() - begin,
        "before": before,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=200_000)
    parser.add_argument("--profiles", nargs="+", default=["anomalib", "official"])
    parser.add_argument("--write", action="store_true", help="replace this section of docs/performance.md")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(Path(arguments.run[0]), arguments.patches, arguments.run[1])))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features"
        write_features(path, -(-arguments.patches // 784) + 10)
        for profile in arguments.profiles:
            command = [sys.executable, __file__, "--patches", str(arguments.patches)]
            done = subprocess.run(
                [*command, "--run", str(path), profile], check=True, capture_output=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            sizes = (found["patches"], found["width"], found["projection_dim"], found["coreset"])
            rows.append(
                f"| {profile} | {found['patches']} x {found['width']} | {found['projection_dim']} | "
                f"{found['coreset']} | {estimate_bytes(*sizes) / 2**30:.2f} | {found['before']:.2f} | "
                f"{found['peak']:.2f} | {found['seconds']:.0f} |"
            )
            print(rows[-1], file=sys.stderr, flush=True)
    table = "\n".join(rows)
    markdown = f"""### PatchCore's memory at full size

`python benchmarks/memory.py --write`; `memory_gib: 8`; GiB, resident, mapped features included. {machine()}.

| profile | patches | projected to | coreset | guard's estimate | before the fit | peak | CPU s |
|---|---|---|---|---|---|---|---|
{table}"""
    print(markdown)
    if arguments.write:
        write_section("memory", markdown)


if __name__ == "__main__":
    main()
