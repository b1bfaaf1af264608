"""NT-Xent and the poster's InfoNCE, forward and backward: ours against lightly's and against one plain
matrix.

Each runs in a process of its own, so that its peak memory is its own, one after the other in rounds; the
ratio is the median of the rounds' ratios.
"""

import statistics

import torch
from harness import alone, benchmark, installed, table
from torch.nn.functional import cross_entropy, normalize

from spd.losses.nce import infonce, ntxent


def matrix(z, z_hat, temperature):
    both = normalize(torch.cat([z, z_hat]), dim=1)
    logits = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(len(both)).roll(len(z)))


def lightly(z, z_hat, temperature):
    from lightly.loss import NTXentLoss

    return NTXentLoss(temperature)(z, z_hat)


LOSSES = {
    "ours, `ntxent`": ntxent,
    "ours, `infonce` (the poster's, one direction)": infonce,
    "one 2N x 2N matrix and `cross_entropy`": matrix,
    "lightly, `NTXentLoss`": lightly,
}


def prepare(name: str, batch: int, dim: int):
    """The loss and its gradients of one batch, whose value it returns."""
    generator = torch.Generator().manual_seed(0)
    z, z_hat = (torch.randn(batch, dim, generator=generator).requires_grad_() for _ in range(2))
    loss = LOSSES[name]
    # the first call of a matrix product allocates its own workspace
    loss(z[:64], z_hat[:64], 0.1).backward()

    def work() -> float:
        z.grad = z_hat.grad = None
        value = loss(z, z_hat, 0.1)
        value.backward()
        return value.item()

    return work


def measure(options) -> str:
    names = [name for name in LOSSES if LOSSES[name] is not lightly or installed("lightly")]
    rounds = [
        {name: alone(prepare, name, options.batch, options.dim, repeats=2) for name in names}
        for _ in range(options.rounds)
    ]

    def row(name: str) -> tuple[str, ...]:
        faster = statistics.median(each[names[-1]].seconds[-1] / each[name].seconds[-1] for each in rounds)
        last = rounds[-1][name]
        return name, f"{faster:.1f}", f"{last.peak - last.before:.0f}", f"{last.value:.5f}"

    slowest = names[-1].split(",")[0]
    header = f"loss | times faster than {slowest} | extra peak memory, MiB | value"
    return f"""{options.batch} x 2 embeddings of {options.dim}, T 0.1, forward and backward, float32, CPU time
of 1 thread, median of {options.rounds} paired runs.

{table(header, map(row, names))}"""


if __name__ == "__main__":
    benchmark(measure, "ntxent", "## NT-Xent", {"batch": (4096, 256), "dim": (128, 16), "rounds": (3, 1)})
