"""Losses on logits: pure functions of (N, 1, H, W) float32 logits and targets in [0, 1]."""

import torch
from torch import Tensor
from torch.nn import functional


def boundary_weight(targets: Tensor, radius_px: int, gain: float) -> Tensor:
    """1 everywhere, 1 + gain within `radius_px` of the target's edge; the mean is scaled back to 1 per image."""
    size = 2 * radius_px + 1
    highest = functional.max_pool2d(targets, size, stride=1, padding=radius_px)
    lowest = -functional.max_pool2d(-targets, size, stride=1, padding=radius_px)
    weight = 1 + gain * (highest - lowest)
    return weight / weight.mean(dim=(1, 2, 3), keepdim=True)


def weighted_bce(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets, a scalar: the mean over all pixels."""
    return functional.binary_cross_entropy_with_logits(logits, targets, weight=weight)


def soft_dice(logits: Tensor, targets: Tensor, smooth: float = 0.01) -> Tensor:
    """1 - Dice of each image, averaged. `smooth` is a share of the image's area.

    With an empty target the term falls as the predicted area falls, so that photos without a product count.
    Milletari et al. 2016, V-Net, with squared terms in the denominator.
    """
    alpha = torch.sigmoid(logits)
    area = (1, 2, 3)
    overlap = (alpha * targets).mean(area)
    total = (alpha.square() + targets.square()).mean(area)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def segmentation_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Boundary-weighted cross-entropy plus soft Dice, a scalar."""
    weight = boundary_weight(targets, radius_px=3, gain=2.0)
    return weighted_bce(logits, targets, weight) + soft_dice(logits, targets)
