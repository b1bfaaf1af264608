"""Peak memory of PatchCore's fit and score at full size: 200,000 patches of 1536 channels, coreset 10 %.

256 images' worth of features of Wide ResNet-50's shapes (512 x 28 x 28 and 1024 x 14 x 14, low-rank
structure plus noise) lie in a memory-mapped file, as the workflow's do; a fresh process fits and scores them,
and its largest resident set, mapped pages included, stands beside the estimate that the guard checks.
"""

import tempfile
from pathlib import Path

import numpy as np
from harness import alone, benchmark, table

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


def prepare(path: Path, profile: str):
    """Fits all but the last ten images and scores those; returns the detector's report."""
    model = PatchCore(PatchCoreOptions(**{**DETECTORS["patchcore"].profiles[profile], "memory_gib": 8}))
    features = open_tensors(path)[0]

    def work() -> dict:
        model.fit({stage: maps[:-10] for stage, maps in features.items()})
        model.score({stage: maps[-10:] for stage, maps in features.items()}, (224, 224))
        return model.report

    return work


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features"
        write_features(path, -(-options.patches // 784) + 10)
        for profile in options.profiles:
            used = alone(prepare, path, profile)
            sizes = [used.value[name] for name in ("patches", "width", "projection_dim", "coreset")]
            estimate = f"{estimate_bytes(*sizes) / 2**30:.2f}"
            gib = f"{used.before / 1024:.2f}", f"{used.peak / 1024:.2f}"
            yield profile, f"{sizes[0]} x {sizes[1]}", *sizes[2:], estimate, *gib, f"{used.seconds[0]:.0f}"


def measure(options) -> str:
    header = "profile | patches | projected to | coreset | guard's estimate | before the fit | peak | CPU s"
    return f"""`memory_gib: 8`; GiB, resident, mapped features included.

{table(header, rows(options))}"""


if __name__ == "__main__":
    sizes = {"patches": (200_000, 3000), "profiles": (["anomalib", "official"], ["official"])}
    benchmark(measure, "memory", "### PatchCore's memory at full size", sizes)
