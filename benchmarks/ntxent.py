"""NT-Xent and the poster's InfoNCE, forward and backward: ours against lightly's and against one plain
matrix.

    python benchmarks/ntxent.py [--batch 4096] [--dim 128] [--write]

Each implementation runs in a process of its own, so that its peak memory is its own, one after the other in
three rounds; the ratio is the median of the rounds' ratios. lightly's row is left out where lightly cannot be
imported (`pip install lightly` into a scratch environment).
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 3
NAMES = {
    "ours: ntxent": "ours, `ntxent`",
    "ours: infonce": "ours, `infonce` (the poster's, one direction)",
    "matrix": "one 2N x 2N matrix and `cross_entropy`",
    "lightly": "lightly, `NTXentLoss`",
}


def losses():
    import torch
    from torch.nn.functional import cross_entropy, normalize

    from spd.losses.nce import infonce, ntxent

    def matrix(z, z_hat, temperature):
        both = normalize(torch.cat([z, z_hat]), dim=1)
        logits = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
        return cross_entropy(logits, torch.arange(len(both)).roll(len(z)))

    found = {"ours: ntxent": ntxent, "ours: infonce": infonce, "matrix": matrix}
    try:
        from lightly.loss import NTXentLoss
    except ImportError:
        return found
    return found | {"lightly": lambda z, z_hat, temperature: NTXentLoss(temperature)(z, z_hat)}


def measure(name: str, batch: int, dim: int) -> dict[str, float]:
    """CPU seconds after a warm-up, MiB of peak memory above that before the loss, and the loss."""
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    z, z_hat = (torch.randn(batch, dim, generator=generator).requires_grad_() for _ in range(2))
    loss = losses()[name]
    # the first call of a matrix product allocates its own workspace
    loss(z[:64], z_hat[:64], 0.1).backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        z.grad = z_hat.grad = None
        began = time.process_time()
        value = loss(z, z_hat, 0.1)
        value.backward()
        seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mib": (peak - before) / 1024, "loss": value.item()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.batch, arguments.dim)))
        return
    import torch  # noqa: F401 - its version is part of the line about the machine
    from report import machine, write_section

    names = list(losses())
    rounds = []
    for _ in range(ROUNDS):
        results = {}
        for name in names:
            command = [sys.executable, __file__, "--one", name]
            command += ["--batch", str(arguments.batch), "--dim", str(arguments.dim)]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            results[name] = json.loads(run.stdout.splitlines()[-1])
        rounds.append(results)
    peer = "lightly" if "lightly" in names else "matrix"
    faster = {
        name: statistics.median(r[peer]["seconds"] / r[name]["seconds"] for r in rounds) for name in names
    }
    slowest = {"lightly": "lightly", "matrix": "the matrix"}[peer]
    lines = [
        "## NT-Xent",
        "",
        f"{arguments.batch} x 2 embeddings of {arguments.dim}, T 0.1, forward and backward, float32, "
        f"CPU time of 1 thread, median of {ROUNDS} paired runs. {machine()}.",
        "",
        f"| loss | times faster than {slowest} | extra peak memory, MiB | value |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {NAMES[name]} | {faster[name]:.1f} | {r['mib']:.0f} | {r['loss']:.5f} |"
        for name, r in rounds[-1].items()
    ]
    lines += ["", "Command: `python benchmarks/ntxent.py --write`"]
    markdown = "\n".join(lines)
    print(f"<!-- begin ntxent -->\n{markdown}\n<!-- end ntxent -->")
    if arguments.write:
        write_section("ntxent", markdown)


if __name__ == "__main__":
    main()
