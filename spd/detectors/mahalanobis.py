"""Mahalanobis distances at every position of a feature pyramid, without repeating the coarse stages' work.

A coarse cell covers several fine positions, whose vectors agree in that stage's channels. So stages are
walked from coarse to fine, and everything that depends on coarse channels alone - Gram matrices in the
dual form, leading blocks of the Cholesky factor in the primal form - is computed once per coarse cell. No
covariance, factor or inverse is kept longer than its block of positions.

With E (N x d) the centred training vectors at a position and S = E'E / (N-1) + eps I,
  dual    m^2 = (x'x - k'(K + eps (N-1) I)^-1 k) / eps,    K = EE', k = Ex   (Woodbury)
  primal  m^2 = |L^-1 x|^2,                                S = LL'
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from spd.threads import one_thread_each

_EPSILON32 = 2.0**-24


@dataclass(frozen=True)
class Level:
    """Stages that share a grid, with the cells of that grid as they are needed, ordered by their coarse
    parent.

    train: (h*w, N, c) centred; native: (G,) cell of each group; parent: (G,) group of the coarser level.
    """

    train: Tensor
    native: np.ndarray
    parent: np.ndarray | None


def nested_groups(grids: list[tuple[int, int]]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """(native cell, parent group) per level, for grids ordered coarse to fine; the last level is the
    finest grid.

    Each finest position lies in one cell per level (nearest: floor(y * h / H)). A group is a distinct
    combination of a cell and its coarser cells, so levels nest even where the sizes do not divide. Groups
    are sorted by parent.
    """
    height, width = grids[-1]
    position = np.arange(height * width)
    y, x = position // width, position % width
    group_of_position, levels = np.zeros(height * width, np.int64), []
    for level, (h, w) in enumerate(grids):
        cell = (y * h // height) * w + (x * w // width)
        keys, group_of_position = np.unique(group_of_position * (h * w) + cell, return_inverse=True)
        levels.append((keys % (h * w), keys // (h * w) if level else None))
    return levels


def operations(n: int, t: int, widths: list[int], groups: list[int], dual: bool) -> float:
    """Multiply-adds of scoring t images against n, for levels of these channel widths and group counts."""
    total, above = 0.0, 0
    for c, g in zip(widths, groups, strict=True):
        if dual:
            total += g * n * (n + t) * c
        else:
            total += g * (n * c * (above + c) + above * c * (c + n + t) + c**3 / 3 + c * c * (n + t) / 2)
        above += c
    if dual:
        total += groups[-1] * (n**3 / 6 + n * n * t / 2)
    return total


class Pyramid:
    """Training vectors of all levels, coarse to fine, ready to score."""

    def __init__(self, train: list[Tensor], grids: list[tuple[int, int]], epsilon: float):
        """train: per level, coarse to fine, (h*w, N, c) float32 centred; grids: their (h, w)."""
        self.levels = [Level(x, *g) for x, g in zip(train, nested_groups(grids), strict=True)]
        self.epsilon = epsilon
        self.n = train[0].shape[1]

    def blocks(self, limit_bytes: int, per_position_bytes: float):
        """Ranges [start, end) of groups per level that belong together, each within `limit_bytes`."""
        edges = np.arange(len(self.levels[0].native) + 1)
        per_level = [edges]
        for parents, level in pairwise(self.levels):
            edges = np.searchsorted(level.parent, np.arange(len(parents.native) + 1))[edges]
            per_level.append(edges)
        fine = per_level[-1]
        step = max(1, int(limit_bytes / per_position_bytes))
        start = 0
        while start < len(fine) - 1:
            end = max(start + 1, int(np.searchsorted(fine, fine[start] + step, side="right")) - 1)
            yield [(int(e[start]), int(e[end])) for e in per_level]
            start = end

    def _gather(self, tests: list[Tensor], ranges, dtype):
        """Per level: training (g, N, c), test (g, T, c) and the parent's index within the block."""
        for depth, (level, test, (start, end)) in enumerate(zip(self.levels, tests, ranges, strict=True)):
            native = level.native[start:end]
            whole = len(native) and np.array_equal(native, np.arange(native[0], native[0] + len(native)))
            index = (
                slice(int(native[0]), int(native[0]) + len(native))
                if whole
                else torch.as_tensor(native, device=level.train.device)
            )
            parent = None if depth == 0 else torch.as_tensor(level.parent[start:end] - ranges[depth - 1][0])
            yield level.train[index].to(dtype), test[index].to(dtype), parent

    def dual(self, tests: list[Tensor], ranges, dtype=torch.float32) -> tuple[Tensor, float]:
        """Squared distances (g, T) of the block's finest groups, and the worst cancellation q / (q - v)."""
        gram = norm = None
        for train, test, parent in self._gather(tests, ranges, dtype):
            both = torch.cat([train, test], dim=1)  # (g, N+T, c)
            square = test.square().sum(-1)  # (g, T)
            if gram is None:
                gram, norm = torch.bmm(both, train.mT), square
            else:
                gram, norm = gram[parent].baddbmm_(both, train.mT), square + norm[parent]
        system = gram[:, : self.n]  # (g, N, N)
        system.diagonal(dim1=1, dim2=2).add_(self.epsilon * (self.n - 1))
        factor = torch.linalg.cholesky(system)
        # From the right: a third faster than from the left, whose transposition torch copies.
        solved = torch.linalg.solve_triangular(
            factor.mT, gram[:, self.n :], upper=True, left=False
        )  # (g, T, N)
        rest = norm - solved.square().sum(2)
        positive = rest.clamp_min(torch.finfo(dtype).tiny)
        # An all-zero test vector (equal to the mean) has nothing to cancel.
        cancellation = float(torch.where(norm > 0, norm / positive, 1.0).max())
        return positive / self.epsilon, cancellation

    def primal(self, tests: list[Tensor], ranges, dtype=torch.float32) -> tuple[Tensor, float]:
        """Squared distances (g, T) of the block's finest groups, and the worst ratio of variance to its
        Schur rest."""
        white_train = white_test = squared = None
        worst = 1.0
        last = len(self.levels) - 1
        for depth, (train, test, parent) in enumerate(self._gather(tests, ranges, dtype)):
            if depth:
                white_train, white_test = white_train[parent], white_test[parent]
            scale = 1.0 / (self.n - 1)
            block = torch.bmm(train.mT, train) * scale  # (g, c, c)
            block.diagonal(dim1=1, dim2=2).add_(self.epsilon)
            variance = block.diagonal(dim1=1, dim2=2).clone()
            if depth:
                row = torch.bmm(train.mT, white_train) * scale  # (g, c, above): row of the factor
                block.baddbmm_(row, row.mT, alpha=-1)
                test = torch.baddbmm(test, white_test, row.mT, alpha=-1)
                if depth < last:
                    train = torch.baddbmm(train, white_train, row.mT, alpha=-1)
            factor = torch.linalg.cholesky(block)
            worst = max(worst, float((variance / factor.diagonal(dim1=1, dim2=2).square()).max()))
            test = torch.linalg.solve_triangular(factor.mT, test, upper=True, left=False)  # (g, T, c)
            part = test.square().sum(-1)
            squared = part if squared is None else squared[parent] + part
            if depth < last:
                train = torch.linalg.solve_triangular(factor.mT, train, upper=True, left=False)
                white_train = train if depth == 0 else torch.cat([white_train, train], dim=2)
                white_test = test if depth == 0 else torch.cat([white_test, test], dim=2)
        return squared, worst

    def reference(self, tests: list[Tensor], group: int) -> Tensor:
        """Squared distances (T,) at one finest group, in float64 by the smaller of the two systems,
        independently."""
        train, test = [], []
        for level, values in zip(reversed(self.levels), reversed(tests), strict=True):
            cell = int(level.native[group])
            train.append(level.train[cell].double())
            test.append(values[cell].double())
            group = int(level.parent[group]) if level.parent is not None else 0
        e, x = torch.cat(train, 1), torch.cat(test, 1)  # (N, d), (T, d)
        if self.n < e.shape[1]:
            system = e @ e.T
            system.diagonal().add_(self.epsilon * (self.n - 1))
            solved = torch.linalg.solve_triangular(torch.linalg.cholesky(system), e @ x.T, upper=False)
            return (x.square().sum(1) - solved.square().sum(0)) / self.epsilon
        system = e.T @ e / (self.n - 1)
        system.diagonal().add_(self.epsilon)
        return torch.linalg.solve_triangular(torch.linalg.cholesky(system), x.T, upper=False).square().sum(0)

    def squared_distances(
        self, tests: list[Tensor], *, dual: bool, tolerance: float, block_bytes: int, samples: int = 8
    ) -> tuple[Tensor, dict]:
        """(T, positions) float32 squared distances and a report of the numerics.

        tests: per level, coarse to fine, (h*w, T, c) float32, centred with the training mean. A block
        whose worst cancellation times float32's rounding exceeds `tolerance` (relative, of the distance)
        is computed again in float64. `samples` positions are compared with float64, and if the estimate
        proves too low, all is redone.
        """
        t = tests[0].shape[1]
        width = sum(level.train.shape[2] for level in self.levels)
        result = torch.empty(t, len(self.levels[-1].native), device=tests[0].device)
        solve = self.dual if dual else self.primal
        size = self.n * (2 * self.n + 2 * t) if dual else width * (2 * self.n + 2 * t + width)
        limit = tolerance

        def one(ranges, limit: float) -> tuple[int, float]:
            again = 0
            try:
                squared, cancellation = solve(tests, ranges)
                # 4: seen to bound the constant on real and synthetic features (tests, docs/detectors.md).
                estimate = 4 * _EPSILON32 * cancellation
            except torch.linalg.LinAlgError:  # float32 lost positive definiteness
                estimate = float("inf")
            if not estimate <= limit:
                again = ranges[-1][1] - ranges[-1][0]
                squared, cancellation = solve(tests, ranges, torch.float64)
                estimate = 4 * 2.0**-53 * cancellation
            native = torch.as_tensor(self.levels[-1].native[ranges[-1][0] : ranges[-1][1]])
            result[:, native] = squared.T.float()
            return again, estimate

        def run(limit: float) -> tuple[int, float]:
            blocks = list(self.blocks(block_bytes, 4.0 * size))
            found = one_thread_each(lambda ranges: one(ranges, limit), blocks, result.device)
            return sum(again for again, _ in found), max((worst for _, worst in found), default=0.0)

        again, worst = run(limit)
        error = self._measure(result, tests, samples)
        if error > tolerance and again < result.shape[1]:
            again, worst = run(-1.0)
            error = self._measure(result, tests, samples)
        return result, {
            "solver": "dual" if dual else "primal",
            "relative_error_measured": error,
            "relative_error_estimated": worst,
            "positions_in_float64": again,
            "positions": result.shape[1],
        }

    def _measure(self, result: Tensor, tests: list[Tensor], samples: int) -> float:
        """Largest relative error of a distance over evenly spread positions and all test images."""
        worst = 0.0
        if result.shape[0] == 0:
            return worst
        groups = np.unique(np.linspace(0, result.shape[1] - 1, samples).astype(int))
        for group in groups:
            true = self.reference(tests, int(group)).clamp_min(0).sqrt()
            got = result[:, int(self.levels[-1].native[group])].double().sqrt()
            worst = max(worst, float(((got - true).abs() / true.clamp_min(1e-6)).max()))
        return worst
