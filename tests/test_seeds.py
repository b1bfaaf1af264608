import hashlib

import torch

from spd import seeds


def test_seed_is_the_documented_hash():
    digest = int.from_bytes(hashlib.sha256(b"0/order/3").digest()[:8], "big")
    assert seeds.seed_of(0, "order", 3) == digest // 2 < 2**63


def test_unequal_parts_give_unequal_seeds():
    parts = [
        (seed, name, step) for seed in range(5) for name in ("order", "views", "step") for step in range(50)
    ]
    assert len({seeds.seed_of(*one) for one in parts}) == len(parts)
    assert seeds.seed_of(1, "2") == seeds.seed_of("1", 2)  # of the text


def test_permutation_is_one_and_leaves_the_global_stream_alone():
    state = torch.get_rng_state()
    first = seeds.permutation(1000, 0, "order", 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.sort().values, torch.arange(1000)) and first.dtype == torch.int64
    assert torch.equal(first, seeds.permutation(1000, 0, "order", 0))
    others = [seeds.permutation(1000, 0, "order", 1), seeds.permutation(1000, 1, "order", 0)]
    assert all((first == other).sum() < 20 for other in others)  # about one place in a thousand agrees
