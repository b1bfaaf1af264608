"""Checks of what a detector is given: stages, shapes, finite and varying values, memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spd.data.manifest import FEWEST
from spd.detectors.options import default_stages


def chosen_stages(detector: str, stages, features: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The stages to use, of those in `features`. Raises ValueError naming a missing stage and those that
    exist."""
    available = tuple(features)
    if stages == "default":
        stages = default_stages(detector.lower(), available)
    missing = [stage for stage in stages if stage not in available]
    if missing or not stages:
        raise ValueError(
            f"{detector}: no features of stage {', '.join(map(repr, missing)) or '(none chosen)'}; "
            f"extracted are: {', '.join(available) or 'none'}"
        )
    return tuple(stages)


def check_features(
    detector: str,
    features: Mapping[str, np.ndarray],
    stages: Sequence[str],
    names: Sequence[str] | None,
    *,
    training: bool,
) -> int:
    """Number of images N. Every stage must be (N, C, h, w); training needs at least two images."""
    counts = {stage: features[stage].shape for stage in stages}
    for stage, shape in counts.items():
        if len(shape) != 4:
            raise ValueError(f"{detector}: features of {stage!r} have shape {shape}; expected (N, C, h, w)")
    lengths = {shape[0] for shape in counts.values()}
    if len(lengths) > 1:
        raise ValueError(f"{detector}: stages differ in their number of images: {counts}")
    n = lengths.pop()
    if names is not None and len(names) != n:
        raise ValueError(f"{detector}: {len(names)} names for {n} images")
    if training and n == 0:
        raise ValueError(
            f"{detector}: no training images; the manifest needs rows with split=train, label=normal"
        )
    if training and n < FEWEST:
        raise ValueError(f"{detector}: one training image ({_name(names, 0)}); at least {FEWEST} are needed")
    return n


def check_finite(
    detector: str, stage: str, block: np.ndarray, names: Sequence[str] | None, start: int
) -> None:
    """Raises ValueError naming the first image of `block` (n, ...) with a value that is not finite."""
    # The sum is finite whenever all values are (unless it overflows), and far cheaper than isfinite(block).
    if np.isfinite(block.sum(dtype=np.float64)):
        return
    bad = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{detector}: features of {_name(names, start + int(bad.argmax()))} at stage {stage!r} are not "
            f"finite ({int(bad.sum())} such image(s) in this block); check it and the backbone's weights"
        )


def _name(names: Sequence[str] | None, index: int) -> str:
    return f"image {index}" if names is None else f"{names[index]} (image {index})"


def available_gib() -> float:
    """Memory this process may still take, in GiB: the machine's, or its container's where that is less."""
    best = float("inf")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                best = int(line.split()[1]) / 2**20
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        best = min(best, (int(text) - int(used.read_text())) / 2**30)
    return best


def check_memory(detector: str, needed_bytes: float, limit_gib: float | None, lower: str) -> None:
    """Raises MemoryError before any work if `needed_bytes` exceed the limit (default: 90 % of what is
    available)."""
    limit = 0.9 * available_gib() if limit_gib is None else limit_gib
    needed = needed_bytes / 2**30
    if needed > limit:
        raise MemoryError(
            f"{detector} needs about {needed:.2f} GiB and may use {limit:.2f} GiB; lower {lower}"
        )
