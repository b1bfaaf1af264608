"""Patch embeddings of PatchCore: each position's 3x3 neighbourhood in a few stages, as one vector.

Official code: unfold every stage into 3x3 patches (zero padding), bring coarser stages to the first one's
grid (bilinear), pool each stage's C*9 values to `stage_dim`, then all stages' together to `dim` (both
adaptive average pools). Pools, unfolding and interpolation are linear, and interpolation commutes with the
rest, so each stage needs one sparse combination of (channel, offset) pairs at its own resolution - for Wide
ResNet-50's layer 2 a depthwise filter [1 1 1; 1 2 1; 1 1 1] / 10, for layer 3 the mean of a pair of channels
over 3x3. anomalib: average pool 3x3 (zero padding counted), bilinear, concatenation: the same with other
coefficients.
"""

from dataclasses import dataclass

import numba
import numpy as np
import torch
from torch.nn import functional as F

from spd.detectors.threads import use_torch_threads


@dataclass(frozen=True)
class Combination:
    """Sparse map of one stage: output o = sum of weight * input[channel, y + dy, x + dx] over
    pointer[o:o+2]."""

    first: int  # first of the outputs this stage contributes to
    pointer: np.ndarray
    channel: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    weight: np.ndarray

    @property
    def outputs(self) -> int:
        return len(self.pointer) - 1


def _pool_bins(length: int, outputs: int) -> list[range]:
    """The entries that `adaptive_avg_pool1d` averages into each output."""
    return [range(o * length // outputs, -(-(o + 1) * length // outputs)) for o in range(outputs)]


def combinations(
    channels: list[int], *, patch_size: int, embedding: str, stage_dim: int, dim: int
) -> tuple[list[Combination], int]:
    """One Combination per stage, and the embedding's width (dim, or the channels' sum for `avgpool`)."""
    taps, half = patch_size**2, patch_size // 2
    # stage -> output -> {channel * taps + tap: weight}
    entries: list[list[dict[int, float]]] = [[] for _ in channels]
    if embedding == "avgpool":
        width = sum(channels)
        first = np.cumsum([0, *channels])
        for stage, count in enumerate(channels):
            entries[stage] = [{c * taps + t: 1 / taps for t in range(taps)} for c in range(count)]
    else:
        width, first = dim, []
        stage_bins = [_pool_bins(count * taps, stage_dim) for count in channels]
        outer = _pool_bins(len(channels) * stage_dim, dim)
        for stage, bins in enumerate(stage_bins):
            low, high = stage * stage_dim, (stage + 1) * stage_dim
            touched = [o for o, bin in enumerate(outer) if bin.stop > low and bin.start < high]
            first.append(touched[0])
            for o in touched:
                weights: dict[int, float] = {}
                for position in outer[o]:
                    if not low <= position < high:
                        continue
                    bin = bins[position - low]
                    for entry in bin:
                        weights[entry] = weights.get(entry, 0.0) + 1 / (len(outer[o]) * len(bin))
                entries[stage].append(weights)
    result = []
    for stage, outputs in enumerate(entries):
        flat = np.array([entry for weights in outputs for entry in sorted(weights)], np.int64)
        result.append(
            Combination(
                first=int(first[stage]),
                pointer=np.cumsum([0, *map(len, outputs)]),
                channel=flat // taps,
                dy=flat % taps // patch_size - half,
                dx=flat % taps % patch_size - half,
                weight=np.array(
                    [weights[entry] for weights in outputs for entry in sorted(weights)], np.float32
                ),
            )
        )
    return result, width


@numba.njit(cache=True, parallel=True, fastmath={"contract"})
def _combine(images, pointer, channel, dy, dx, weight, out):
    """images: (n, C, h, w); out: (n, O, h, w). Entries outside the image count as zero."""
    height, width = images.shape[2], images.shape[3]
    outputs = out.shape[1]
    for job in numba.prange(images.shape[0] * outputs):
        n, o = job // outputs, job % outputs
        target = out[n, o]
        target[:] = 0.0
        for e in range(pointer[o], pointer[o + 1]):
            plane, w, down, right = images[n, channel[e]], weight[e], dy[e], dx[e]
            left, stop = max(0, -right), min(width, width - right)
            for y in range(max(0, -down), min(height, height - down)):
                source, line = plane[y + down], target[y]
                for x in range(left, stop):
                    line[x] += w * source[x + right]


class Embedder:
    """Turns stages' features into patch vectors. Built once from the channel counts."""

    def __init__(self, channels: list[int], *, patch_size: int, embedding: str, stage_dim: int, dim: int):
        self.parts, self.width = combinations(
            channels, patch_size=patch_size, embedding=embedding, stage_dim=stage_dim, dim=dim
        )

    def __call__(self, stages: list[np.ndarray]) -> np.ndarray:
        """(n, C_s, h_s, w_s) float32 per stage -> (n * h * w, width) float32 on the first stage's grid,
        row-major."""
        use_torch_threads()
        n, _, h, w = stages[0].shape
        vectors = torch.zeros(n, h * w, self.width)
        for part, values in zip(self.parts, stages, strict=True):
            values = np.ascontiguousarray(values, np.float32)
            combined = np.empty((n, part.outputs, *values.shape[2:]), np.float32)
            _combine(values, part.pointer, part.channel, part.dy, part.dx, part.weight, combined)
            planes = torch.from_numpy(combined)
            if planes.shape[2:] != (h, w):
                planes = F.interpolate(planes, size=(h, w), mode="bilinear", align_corners=False)
            vectors[:, :, part.first : part.first + part.outputs] += planes.flatten(2).mT
        return vectors.reshape(n * h * w, self.width).numpy()
