"""The learning rate, as a pure function of the step."""

import math


def base_rate(lr: float, scaling: str, batch: int) -> float:
    """The rate for a batch: none -> lr, linear -> lr * batch / 256 (SimSiam, SimCLR), sqrt -> lr *
    sqrt(batch) (SimCLR, small batches)."""
    return {"none": lr, "linear": lr * batch / 256, "sqrt": lr * math.sqrt(batch)}[scaling]


def rate(
    step: int,
    *,
    base: float,
    steps: int,
    warmup: int = 0,
    schedule: str = "cosine",
    every: int = 1,
    milestones: tuple[float, ...] = (),
) -> float:
    """The learning rate of step `step` (0 ... steps - 1).

    `base`: the highest rate. `warmup`: steps of linear rise, of which step 0 has rate base / warmup. `every`:
    the rate changes each `every` steps only (an epoch's length for the repositories of MoCo and SimSiam).
    `schedule`: `cosine` falls to 0 at `steps` from the end of the warm-up; `step` divides by 10 at each of
    `milestones` (fractions of `steps`); `constant` stays.
    """
    if step < warmup:
        return base * (step + 1) / warmup
    step -= step % every
    if schedule == "cosine":
        progress = max(0, step - warmup) / max(1, steps - warmup)
        return base * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "step":
        return base * 0.1 ** sum(step >= round(milestone * steps) for milestone in milestones)
    return base
