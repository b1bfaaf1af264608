"""Focal loss of a binary decision (Lin et al., Focal Loss for Dense Object Detection, 2017, equation 5)."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def focal_loss(logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Mean of (1 - p)^gamma * -log p, p being the probability of the right class; a scalar.

    logits: any shape, log-odds of class 1; targets: the same shape, 0 or 1. gamma 0 is the cross-entropy.
    alpha weights class 1 by alpha and class 0 by 1 - alpha. gamma below 1 has no finite gradient at p = 1.
    """
    targets = targets.to(logits.dtype)
    surprise = binary_cross_entropy_with_logits(logits, targets, reduction="none")  # -log p
    loss = surprise if gamma == 0 else (-torch.expm1(-surprise)) ** gamma * surprise
    if alpha is not None:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return loss.mean()
