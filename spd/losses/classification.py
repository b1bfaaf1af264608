"""Cross-entropy for labels and for SPD's "was it perturbed" classifier."""

import torch
from torch.nn.functional import cross_entropy

from spd.losses.precision import at_least_float32


@at_least_float32
def classification(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy, mean over the batch. logits (B, classes), labels int64 (B,)."""
    return cross_entropy(logits, labels)


@at_least_float32
def spd_xent(logits_plus: torch.Tensor, logits_minus: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a classifier that tells weakly augmented (class 0) from locally perturbed views (class
    1), mean over both.

    logits of the two views (B, 2) each. Source: the "Xent" objective of the SPD poster
    (https://arxiv.org/abs/2207.14315).
    """
    zeros = torch.zeros(len(logits_plus), dtype=torch.int64, device=logits_plus.device)
    return (cross_entropy(logits_plus, zeros) + cross_entropy(logits_minus, zeros + 1)) / 2
