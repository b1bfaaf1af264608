"""InfoNCE and NT-Xent, fused: block by block, with the gradient taken in the forward pass, so that memory is
O(block * columns)."""

import torch
from torch.nn.functional import normalize

from spd import distributed
from spd.losses.precision import at_least_float32

BLOCK_BYTES = 16 * 2**20
TILE = {"cpu": 512, "cuda": 2048}
"""Rows and columns of the symmetric loss's tiles: on a CPU a float32 one is as large as a core's cache."""


class _CrossEntropyOfCosines(torch.autograd.Function):
    """Mean over rows of -log softmax(a @ b.T / temperature)[row, target], without column `excluded` (None:
    with all).

    a (n, d) and b (m, d) of unit length, target and excluded int64 (n,). Only three matrix products and one
    exponential touch the n x m cosines, a block of rows at a time. They are at most 1, so 1 / temperature is
    the shift that keeps the exponential finite, and as one more column of a and b it costs nothing; the same
    column of ones gives the softmax's sums.
    """

    @staticmethod
    def forward(ctx, a, b, target, excluded, temperature: float):
        n, m = len(a), len(b)
        rows = max(1, min(n, BLOCK_BYTES // (m * a.element_size())))
        # exp(-2 / temperature) is the smallest term: below float32's range the rows' own maxima take the
        # place of 1
        fixed_shift = 2 / temperature < 80
        wide_b = torch.cat([b, b.new_ones(m, 1)], 1)  # (m, d + 1)
        grad_a = torch.empty_like(a)
        grad_b = torch.zeros_like(b)
        block = a.new_empty(rows, m)
        total = a.new_zeros(())
        for start in range(0, n, rows):
            part = slice(start, min(start + rows, n))
            shift = a.new_full((part.stop - start, 1), -1 / temperature if fixed_shift else 0)
            wide_a = torch.cat([a[part] / temperature, shift], 1)  # (rows, d + 1)
            terms = torch.mm(wide_a, wide_b.T, out=block[: len(wide_a)])  # (rows, m)
            index = torch.arange(len(terms), device=a.device)
            if excluded is not None:
                terms[index, excluded[part]] = -torch.inf
            positive = terms[index, target[part]]
            if not fixed_shift:
                top = terms.amax(1, keepdim=True)
                terms.sub_(top)
                positive = positive - top[:, 0]
            terms.exp_()
            products = terms @ wide_b  # (rows, d + 1): the last column is the sum
            sums = products[:, -1:]
            total += (sums[:, 0].log() - positive).sum()
            grad_a[part] = products[:, :-1] / sums
            grad_b.addmm_(terms.T, a[part] / sums)
        grad_a -= b[target]
        grad_b.index_add_(0, target, a, alpha=-1)
        ctx.scale = 1 / (n * temperature)
        ctx.save_for_backward(grad_a, grad_b)
        return total / n

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        grad_a, grad_b = ctx.saved_tensors
        scale = gradient * ctx.scale
        return grad_a * scale, grad_b * scale, None, None, None


class _SymmetricCrossEntropyOfCosines(torch.autograd.Function):
    """The same where the rows are the columns: x (n, d) of unit length against itself without the diagonal;
    the target of row i is i + n / 2, modulo n.

    exp(x @ x.T / temperature) is symmetric, so its upper half is enough, computed tile by tile and twice: for
    the softmax's sums, then for the gradient. That is two matrix products where the general case needs three.
    Nothing is shifted: exp(1 / temperature) must lie within the type's range.
    """

    @staticmethod
    def forward(ctx, x, temperature: float):
        n, side = len(x), min(TILE.get(x.device.type, TILE["cpu"]), len(x))
        partner = x.roll(n // 2, 0)
        scaled = x / temperature
        terms, weights = x.new_empty(2, side**2)

        def tiles():
            for top in range(0, n, side):
                rows = slice(top, min(top + side, n))
                for left in range(top, n, side):
                    columns = slice(left, min(left + side, n))
                    shape = (rows.stop - top, columns.stop - left)
                    tile = terms[: shape[0] * shape[1]].view(shape)
                    torch.mm(scaled[rows], x[columns].T, out=tile).exp_()
                    if left == top:
                        tile.fill_diagonal_(0)
                    yield rows, columns, tile

        sums = x.new_zeros(n)
        for rows, columns, tile in tiles():
            sums[rows] += tile.sum(1)
            if columns != rows:
                sums[columns] += tile.sum(0)
        loss = (sums.log() - (scaled * partner).sum(1)).mean()
        share = 1 / sums
        gradient = torch.zeros_like(x)
        for rows, columns, tile in tiles():
            both = torch.add(share[rows, None], share[columns], out=weights[: tile.numel()].view_as(tile))
            tile.mul_(both)  # row i's softmax at j and row j's at i
            gradient[rows].addmm_(tile, x[columns])
            if columns != rows:
                gradient[columns].addmm_(tile.T, x[rows])
        gradient.sub_(partner, alpha=2)  # each is the other's target
        ctx.scale = 1 / (n * temperature)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return ctx.saved_tensors[0] * (gradient * ctx.scale), None


@at_least_float32
def infonce(z: torch.Tensor, z_hat: torch.Tensor, temperature: float) -> torch.Tensor:
    """The poster's L_NCE: -log exp(z_i.z^_i / T) / sum_j exp(z_i.z^_j / T), mean over i; N - 1 negatives, one
    direction.

    z, z_hat (B, D): embeddings of the two strong views, normalised here. Under torch.distributed B is a
    rank's share, j runs over all ranks, and the mean of the ranks' losses is that of one process. Source: SPD
    poster (https://arxiv.org/abs/2207.14315).
    """
    z, z_hat = normalize(z, dim=1), normalize(z_hat, dim=1)
    columns = distributed.gather(z_hat)  # (N, D)
    target = torch.arange(len(z), device=z.device) + distributed.rank() * len(z)
    return _CrossEntropyOfCosines.apply(z, columns, target, None, temperature)


@at_least_float32
def ntxent(z: torch.Tensor, z_hat: torch.Tensor, temperature: float) -> torch.Tensor:
    """NT-Xent of SimCLR: each of the 2N views against its partner and the 2N - 2 others, mean over the views.

    z, z_hat (B, D), normalised here; under torch.distributed as `infonce`. Source: SimCLR, eq. 1
    (https://arxiv.org/abs/2002.05709).
    """
    both = torch.cat([normalize(z, dim=1), normalize(z_hat, dim=1)])  # (2B, D)
    if distributed.world_size() == 1 and 1 / temperature < 40:  # exp(+-40) is well within float32
        return _SymmetricCrossEntropyOfCosines.apply(both, temperature)
    # gathered, the columns lie rank by rank: [z of rank 0, z_hat of rank 0, z of rank 1, ...]
    columns = distributed.gather(both)  # (2N, D)
    own = torch.arange(len(both), device=z.device) + distributed.rank() * len(both)
    target = torch.cat([own[len(z) :], own[: len(z)]])
    return _CrossEntropyOfCosines.apply(both, columns, target, own, temperature)


@at_least_float32
def queue_nce(q: torch.Tensor, k: torch.Tensor, queue: torch.Tensor, temperature: float) -> torch.Tensor:
    """MoCo's loss: cross-entropy of q.k against q.queue, mean over the batch.

    q (B, D), normalised here; k (B, D) and queue (K, D) of unit length, without a gradient.
    Source: MoCo, eq. 1 (https://arxiv.org/abs/1911.05722).
    """
    q = normalize(q, dim=1)
    positive = (q * k.detach()).sum(1, keepdim=True)  # (B, 1)
    logits = torch.cat([positive, q @ queue.T], dim=1) / temperature  # (B, 1 + K)
    return (torch.logsumexp(logits, 1) - logits[:, 0]).mean()
