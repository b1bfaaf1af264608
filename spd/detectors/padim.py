"""PaDiM: at every position one Gaussian over randomly chosen channels; score = Mahalanobis distance.

Defard et al., "PaDiM: a Patch Distribution Modeling Framework" (ICPR 2020 workshops); options and their
sources in docs/detectors.md.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch

from spd.detectors.base import Detector
from spd.detectors.cells import centre, means, regroup
from spd.detectors.inputs import check_features, check_finite, check_memory, chosen_stages
from spd.detectors.mahalanobis import Pyramid, nested_groups, operations
from spd.detectors.maps import pixel_maps
from spd.detectors.options import PaDiMOptions

_BLOCK_BYTES = (
    16 * 2**20
)  # a block's matrices: large enough to hide call overhead, small enough for the caches


def draw_channels(total: int, dim: int, seed: int) -> np.ndarray:
    """`dim` of `total` channels, sorted, int64: a function of these three numbers alone. All if there are
    fewer."""
    if dim >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).permutation(total)[:dim])


class PaDiM(Detector):
    """fit(training features), then score(test features).

    Attributes after fit: `stages`, `channels` (d,) int64 into the concatenation of the stages, `notes`
    (what a user should know about this fit), `report` (numerics: see `score`).
    """

    Options = PaDiMOptions

    def __init__(self, options: PaDiMOptions | None = None, device: str | torch.device = "cpu"):
        super().__init__(options, torch.device(device))

    def fit(
        self,
        features: Mapping[str, np.ndarray],
        names: Sequence[str] | None = None,
        *,
        channels: np.ndarray | None = None,
    ) -> Self:
        """Keeps the chosen channels of the training images, centred per position.

        features: stage -> (N, C, h, w) float32, shallow to deep; arrays or memory maps, read once in blocks.
        names: N names for messages. channels: an index to use instead of the drawn one (to compare with
        peers).
        Raises ValueError for a missing stage, fewer than two images, non-finite or constant features;
        MemoryError.
        """
        options = self.options
        self.stages = chosen_stages("PaDiM", options.stages, features)
        n = check_features("PaDiM", features, self.stages, names, training=True)
        widths = [features[stage].shape[1] for stage in self.stages]
        total = sum(widths)
        self.notes = []
        if channels is not None:
            self.channels = np.asarray(channels, np.int64)
        else:
            self.channels = draw_channels(total, options.dim, options.channel_seed)
            if options.dim > total:
                self.notes.append(
                    f"PaDiM: dim {options.dim} exceeds the {total} channels of the stages; all are used"
                )
        self._shapes = {stage: features[stage].shape[1:] for stage in self.stages}
        offsets = np.cumsum([0, *widths])
        self._picked = {
            stage: self.channels[(self.channels >= low) & (self.channels < high)] - low
            for stage, low, high in zip(self.stages, offsets[:-1], offsets[1:], strict=True)
        }
        # Stages of one grid form one level; levels run coarse to fine.
        grids: dict[tuple[int, int], list[str]] = {}
        for stage in self.stages:
            if len(self._picked[stage]):
                grids.setdefault(tuple(self._shapes[stage][1:]), []).append(stage)
        self._grids = dict(sorted(grids.items(), key=lambda item: item[0][0] * item[0][1]))
        self._finest = next(reversed(self._grids))
        first = tuple(self._shapes[self.stages[0]][1:])
        if any(h > first[0] or w > first[1] for h, w in self._grids):
            raise ValueError(
                f"PaDiM: stages must run shallow to deep (fine to coarse); their grids: {self._shapes}"
            )
        per_image = sum(4 * h * w * self._width(grid) for grid in self._grids for h, w in [grid])
        check_memory(
            "PaDiM",
            n * per_image * 1.1 + 8 * _BLOCK_BYTES,
            options.memory_gib,
            "`dim`, the number of stages, or the image size",
        )
        train, self._means = [], []
        for grid in self._grids:
            values, varies = self._read(features, grid, names)
            mean = means(values)  # (h*w, c)
            if not varies:
                which = "" if names is None else f" ({names[0]} ... {names[-1]})"
                raise ValueError(
                    f"PaDiM: features of stage {' + '.join(self._grids[grid])} are constant over all "
                    f"training images{which}; check the backbone's weights"
                )
            self._means.append(mean)
            centre(values, mean)
            train.append(torch.from_numpy(values).to(self.device))
        self._pyramid = Pyramid(train, list(self._grids), options.epsilon)
        return self

    def drawn(self) -> dict[str, np.ndarray]:
        """`channels`."""
        return {"channels": self.channels}

    def score(
        self,
        features: Mapping[str, np.ndarray],
        size: tuple[int, int],
        batch: int | None = None,
        names: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image scores (T,) float32 and maps (T, H, W) float32 for `size` = (H, W); higher is more anomalous.

        Positions are factorised again at every call and for every `batch` images (default: as many as take
        1 GiB), so give all test images at once. `report` then holds the solver, the measured and estimated
        relative error against float64, and the number of positions that needed float64. Raises ValueError
        for other stages or shapes than were fitted, MemoryError before it starts if the estimate exceeds the
        limit.
        """
        options = self.options
        for stage in self.stages:
            if stage not in features or tuple(features[stage].shape[1:]) != tuple(self._shapes[stage]):
                found = features[stage].shape[1:] if stage in features else "nothing"
                raise ValueError(
                    f"PaDiM: stage {stage!r} was fitted on {self._shapes[stage]}, scored on {found}"
                )
        t = check_features("PaDiM", features, self.stages, names, training=False)
        h, w = self._finest
        per_image = sum(4 * h * w * self._width((h, w)) for h, w in self._grids)
        batch = batch or max(1, 2**30 // per_image)
        # Training vectors are held already: they count where a limit is given, not where memory is asked.
        held = 0 if options.memory_gib is None else self._pyramid.n * per_image
        check_memory(
            "PaDiM",
            held + min(t, batch) * per_image * 1.1 + 4 * t * (h * w + size[0] * size[1]) + 8 * _BLOCK_BYTES,
            options.memory_gib,
            "`dim`, the number of stages, the image size, or `batch`",
        )
        scores = np.empty((t, h, w), np.float32)
        self.report = {}
        for start in range(0, t, batch):
            part = {stage: features[stage][start : start + batch] for stage in self.stages}
            part_names = None if names is None else names[start : start + batch]
            tests = []
            for grid, mean in zip(self._grids, self._means, strict=True):
                values, _ = self._read(part, grid, part_names)
                centre(values, mean)
                tests.append(torch.from_numpy(values).to(self.device))
            squared, report = self._pyramid.squared_distances(
                tests,
                dual=self._dual(tests[0].shape[1]),
                tolerance=options.tolerance,
                block_bytes=_BLOCK_BYTES,
            )
            scores[start : start + batch] = squared.clamp_min(0).sqrt().reshape(-1, h, w).cpu().numpy()
            for key, value in report.items():
                self.report[key] = max(self.report.get(key, value), value)
        maps = pixel_maps(
            scores,
            size,
            upsampling=options.upsampling,
            blur_sigma=options.blur_sigma,
            blur_border=options.blur_border,
        )
        source = maps if options.image_score == "map_max" else scores
        return source.max((1, 2)), maps

    def _width(self, grid: tuple[int, int]) -> int:
        return sum(len(self._picked[stage]) for stage in self._grids[grid])

    def _dual(self, t: int) -> bool:
        if self.options.solver != "auto":
            return self.options.solver == "dual"
        widths = [self._width(grid) for grid in self._grids]
        groups = [len(native) for native, _ in nested_groups(list(self._grids))]
        n = self._pyramid.n
        return operations(n, t, widths, groups, True) < operations(n, t, widths, groups, False)

    def _read(self, features, grid, names) -> tuple[np.ndarray, bool]:
        """The chosen channels of one grid's stages as (h*w, N, c) float32, and whether images differ."""
        stages = self._grids[grid]
        n, cells = len(features[stages[0]]), grid[0] * grid[1]
        values = np.empty((cells, n, self._width(grid)), np.float32)
        varies, at = False, 0
        for stage in stages:
            picked, source = self._picked[stage], features[stage]
            first = np.ascontiguousarray(source[:1], np.float32).reshape(-1, cells)
            for start in range(0, n, 16):
                block = np.ascontiguousarray(source[start : start + 16], np.float32)
                total, differs = regroup(
                    block.reshape(*block.shape[:2], cells), first, picked, values, start, at
                )
                if not np.isfinite(total):
                    check_finite("PaDiM", stage, block[:, picked], names, start)
                varies |= differs
            at += len(picked)
        return values, varies
