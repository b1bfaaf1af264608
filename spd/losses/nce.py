"""InfoNCE and NT-Xent, fused: block by block, with the gradient taken in the forward pass, so that memory is
O(block * columns)."""

import torch
from torch.nn.functional import normalize

from spd import distributed
from spd.losses.precision import at_least_float32

BLOCK_BYTES = 16 * 2**20


class _CrossEntropyOfProducts(torch.autograd.Function):
    """Mean over rows of -log softmax(a @ b.T / temperature)[row, target]; column `excluded` of each row is
    left out (-1: none).

    a (n, d), b (m, d), target and excluded int64 (n,).
    """

    @staticmethod
    def forward(ctx, a, b, target, excluded, temperature: float):
        n, m = len(a), len(b)
        rows = max(1, min(n, BLOCK_BYTES // (m * a.element_size())))
        needed_a, needed_b = ctx.needs_input_grad[:2]
        grad_a = torch.empty_like(a) if needed_a else None
        grad_b = torch.zeros_like(b) if needed_b else None
        total = a.new_zeros(())
        buffer = a.new_empty(rows, m)
        for start in range(0, n, rows):
            part = a[start : start + rows]
            logits = torch.mm(part, b.T, out=buffer[: len(part)]).div_(temperature)  # (rows, m)
            index = torch.arange(len(part), device=a.device)
            if excluded is not None:
                logits[index, excluded[start : start + rows]] = -torch.inf
            own = target[start : start + rows]
            positive = logits[index, own].sum()
            # stable by hand and in place: a second (rows, m) tensor would double the peak
            top = logits.amax(1, keepdim=True)
            logits.sub_(top).exp_()
            sums = logits.sum(1, keepdim=True)
            total += (sums.log() + top).sum() - positive
            if needed_a or needed_b:
                logits.div_(sums)  # softmax
                logits[index, own] -= 1
                if needed_a:
                    torch.mm(logits, b, out=grad_a[start : start + rows])
                if needed_b:
                    grad_b.addmm_(logits.T, part)
        ctx.scale = 1 / (n * temperature)
        ctx.save_for_backward(grad_a, grad_b)
        return total / n

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        grad_a, grad_b = ctx.saved_tensors
        scale = gradient * ctx.scale
        return (
            grad_a * scale if grad_a is not None else None,
            grad_b * scale if grad_b is not None else None,
            None,
            None,
            None,
        )


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
    return _CrossEntropyOfProducts.apply(z, columns, target, None, temperature)


@at_least_float32
def ntxent(z: torch.Tensor, z_hat: torch.Tensor, temperature: float) -> torch.Tensor:
    """NT-Xent of SimCLR: each of the 2N views against its partner and the 2N - 2 others, mean over the views.

    z, z_hat (B, D), normalised here; under torch.distributed as `infonce`. Source: SimCLR, eq. 1
    (https://arxiv.org/abs/2002.05709).
    """
    both = torch.cat([normalize(z, dim=1), normalize(z_hat, dim=1)])  # (2B, D)
    # gathered, the columns lie rank by rank: [z of rank 0, z_hat of rank 0, z of rank 1, ...]
    columns = distributed.gather(both)  # (2N, D)
    own = torch.arange(len(both), device=z.device) + distributed.rank() * len(both)
    target = torch.cat([own[len(z) :], own[: len(z)]])
    return _CrossEntropyOfProducts.apply(both, columns, target, own, temperature)


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
