"""Cosine losses: SimSiam's, and SPD's contrast of a weak with a locally perturbed view."""

import torch
from torch.nn.functional import cosine_similarity

from spd.losses.precision import at_least_float32


@at_least_float32
def simsiam(p1: torch.Tensor, p2: torch.Tensor, z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    """-1/2 [cos(p1, sg z2) + cos(p2, sg z1)], mean over the batch; in [-1, 1].

    Predictions p and projections z, each (B, D); no gradient flows through z. Source: SimSiam, section 3
    (https://arxiv.org/abs/2011.10566).
    """
    return -0.5 * (cosine(p1, z2.detach()) + cosine(p2, z1.detach()))


@at_least_float32
def spd_cosine(z: torch.Tensor, z_plus: torch.Tensor, z_minus: torch.Tensor) -> torch.Tensor:
    """cos(z, z_minus) - cos(z, z_plus), mean over the batch; in [-2, 2].

    Anchor, weakly augmented and locally perturbed embeddings, each (B, D). Source: L_SPD of the poster of
    https://arxiv.org/abs/2207.14315.
    """
    return cosine(z, z_minus) - cosine(z, z_plus)


@at_least_float32
def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean cosine of the rows of a and b, each (B, D); in [-1, 1]."""
    return cosine_similarity(a, b, dim=1).mean()
