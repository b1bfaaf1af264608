"""PatchCore: distance of each patch to a coreset of normal patches.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022); options and their sources in
docs/detectors.md.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from spd.detectors.base import Detector
from spd.detectors.coreset import greedy_coreset
from spd.detectors.embedding import Embedder
from spd.detectors.inputs import check_features, check_finite, check_memory, chosen_stages
from spd.detectors.maps import pixel_maps
from spd.detectors.neighbours import Neighbours
from spd.detectors.options import PatchCoreOptions
from spd.detectors.projection import draw_projection, johnson_lindenstrauss_dim, project

_BATCH = 8  # images embedded at a time


class PatchCore(Detector):
    """fit(training features), then score(test features).

    Attributes after fit: `stages`, `memory_bank` (K, D) float32, `coreset_indices` (K,) int64 in the order
    chosen (patch = image * h * w + y * w + x of the training images), `notes`, `report`.
    """

    Options = PatchCoreOptions

    def fit(self, features: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Self:
        """Chooses the memory bank.

        features: stage -> (N, C, h, w) float32, shallow to deep; arrays or memory maps. With a projection
        they are read twice, so that only projected patches and the chosen ones are ever held together.
        Raises ValueError for a missing stage, fewer than two images, non-finite or constant features, a
        coreset larger than the patches; MemoryError before it starts if the estimate exceeds the limit.
        """
        options = self.options
        self.stages = chosen_stages("PatchCore", options.stages, features)
        n = check_features("PatchCore", features, self.stages, names, training=True)
        self._shapes = {stage: tuple(features[stage].shape[1:]) for stage in self.stages}
        self._grid = self._shapes[self.stages[0]][1:]
        self._embedder = Embedder(
            [self._shapes[stage][0] for stage in self.stages],
            patch_size=options.patch_size,
            embedding=options.embedding,
            stage_dim=options.stage_dim,
            dim=options.dim,
        )
        width = self._embedder.width
        patches = n * self._grid[0] * self._grid[1]
        size = options.coreset_size or max(1, int(patches * options.coreset_share))
        if size > patches:
            raise ValueError(
                f"PatchCore: a coreset of {size} patches was asked of {n} images with {patches} "
                "patches; lower coreset_size, or give more training images"
            )
        if max(options.neighbours, options.reweighting) > size:
            raise ValueError(
                f"PatchCore: {max(options.neighbours, options.reweighting)} neighbours asked of a "
                f"coreset of {size}; lower `neighbours` or `reweighting`, or raise coreset_share"
            )
        dim = options.projection_dim
        if dim == "johnson-lindenstrauss":
            dim = johnson_lindenstrauss_dim(patches, options.projection_eps)
        kind = options.projection
        if kind != "none" and dim >= width:
            self.notes.append(
                f"PatchCore: {width} channels are fewer than projection_dim {dim}; not projected"
            )
            kind = "none"
        if kind == "none":
            dim = width
        self.report = {"patches": patches, "coreset": size, "width": width, "projection_dim": dim}
        check_memory(
            "PatchCore",
            estimate_bytes(patches, width, dim, size),
            options.memory_gib,
            "`projection_dim`, `coreset_share`, the stages, the image size, or the number of images",
        )
        for stage in self.stages:
            if all(np.array_equal(image, features[stage][0]) for image in features[stage]):
                which = "" if names is None else f" ({names[0]} ... {names[-1]})"
                raise ValueError(
                    f"PatchCore: features of stage {stage} are constant over all training images{which}; "
                    "check the backbone's weights"
                )
        if size == patches:
            self.coreset_indices = np.arange(patches)
        else:
            matrix = None if kind == "none" else draw_projection(kind, width, dim, options.projection_seed)
            points = np.empty((patches, dim), np.float32)
            for rows, vectors in self._embedded(features, names):
                points[rows] = vectors if matrix is None else project(vectors, matrix)
            self.coreset_indices = greedy_coreset(
                points, size, start=options.greedy_start, seed=options.coreset_seed, filter=options.filter
            )
            del points
        self.set_memory_bank(self._gather(features, names))
        return self

    def drawn(self) -> dict[str, np.ndarray]:
        """`coreset`: indices of the patches."""
        return {"coreset": self.coreset_indices}

    def set_memory_bank(self, bank: np.ndarray) -> None:
        """Searches this (K, D) float32 bank from now on (to compare with peers, or a bank stored earlier)."""
        self.memory_bank = np.ascontiguousarray(bank, np.float32)
        self._search = Neighbours(self.memory_bank, self.options.search, self.options.filter, self.device)

    def score(
        self,
        features: Mapping[str, np.ndarray],
        size: tuple[int, int],
        batch: int | None = None,
        names: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image scores (T,) float32 and maps (T, H, W) float32 for `size` = (H, W); higher is more anomalous.

        batch: images embedded at a time (default 8); the result does not depend on it.
        """
        options = self.options
        for stage in self.stages:
            if stage not in features or tuple(features[stage].shape[1:]) != self._shapes[stage]:
                found = features[stage].shape[1:] if stage in features else "nothing"
                raise ValueError(
                    f"PatchCore: stage {stage!r} was fitted on {self._shapes[stage]}, scored on {found}"
                )
        t = check_features("PatchCore", features, self.stages, names, training=False)
        h, w = self._grid
        patch_scores = np.empty((t, h * w), np.float32)
        image_scores = np.empty(t, np.float32)
        for rows, vectors in self._embedded(features, names, batch or _BATCH):
            squared, indices = self._search(vectors, options.neighbours)
            distances = squared if options.squared else np.sqrt(squared)
            images = slice(rows.start // (h * w), rows.stop // (h * w))
            scores = distances.mean(1).reshape(-1, h * w)
            patch_scores[images] = scores
            image_scores[images] = scores.max(1)
            if options.reweighting:
                top = scores.argmax(1) + np.arange(len(scores)) * h * w
                image_scores[images] *= self._weights(vectors[top], indices[top, 0])
        maps = pixel_maps(
            patch_scores.reshape(t, h, w),
            size,
            upsampling=options.upsampling,
            blur_sigma=options.blur_sigma,
            blur_border=options.blur_border,
        )
        return image_scores, maps

    def _weights(self, patches: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """w = 1 - softmax over the (unsquared) distances to the b neighbours of the nearest memory patch,
        itself first.

        Paper, equation 7; anomalib's form, which includes the nearest patch among its b neighbours.
        """
        _, support = self._search(self.memory_bank[nearest], self.options.reweighting)
        rest = support != nearest[:, None]
        others = [row[keep][: self.options.reweighting - 1] for row, keep in zip(support, rest, strict=True)]
        support = np.column_stack([nearest, np.stack(others)])
        difference = patches[:, None].astype(np.float64) - self.memory_bank[support]
        distances = np.sqrt(np.square(difference).sum(-1))  # (n, b)
        exponent = np.exp(distances - distances.max(1, keepdims=True))
        return 1 - exponent[:, 0] / exponent.sum(1)

    def _embedded(self, features, names, batch: int = _BATCH):
        """Yields (rows, vectors) over all images; vectors (n * h * w, D) float32."""
        n, cells = len(features[self.stages[0]]), self._grid[0] * self._grid[1]
        for start in range(0, n, batch):
            blocks = [np.asarray(features[stage][start : start + batch], np.float32) for stage in self.stages]
            for stage, block in zip(self.stages, blocks, strict=True):
                check_finite("PatchCore", stage, block, names, start)
            yield slice(start * cells, (start + len(blocks[0])) * cells), self._embedder(blocks)

    def _gather(self, features, names) -> np.ndarray:
        """The chosen patches' vectors (K, D), embedding again only the images that hold one."""
        cells = self._grid[0] * self._grid[1]
        bank = np.empty((len(self.coreset_indices), self._embedder.width), np.float32)
        order = np.argsort(self.coreset_indices)
        image = self.coreset_indices[order] // cells
        for start in range(0, len(features[self.stages[0]]), _BATCH):
            low, high = np.searchsorted(image, [start, start + _BATCH])
            if low == high:
                continue
            blocks = [
                np.asarray(features[stage][start : start + _BATCH], np.float32) for stage in self.stages
            ]
            vectors = self._embedder(blocks)
            bank[order[low:high]] = vectors[self.coreset_indices[order[low:high]] - start * cells]
        return bank


def estimate_bytes(patches: int, width: int, projection_dim: int, coreset: int) -> float:
    """Peak memory of fit and score, without the features themselves.

    Projected patches in float32 and once more for the filter (at most float32, some entries wider); the
    memory bank and its filter, twice while it is transposed; per-point state; one batch of embedded images;
    one block of products.
    """
    wider = 38  # the norms' entries, and zeros up to a round number
    points = patches * (4 * projection_dim + 4 * (projection_dim + wider) + 160) if coreset < patches else 0
    bank = coreset * (4 * width + 2 * 4 * (width + wider))
    batch = _BATCH * 4096 * width * 4 * 3 + 256 * coreset * 8
    return max(points, bank) + coreset * 4 * width + batch + 2**28
