"""Losses on logits: pure functions of (N, 1, H, W) float32 logits or alphas and targets in [0, 1].

Each gives one number per image, (N,), so that the mean over a batch is the mean over its parts on several processes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.recipe import LossWeights

_AREA = (1, 2, 3)


def boundary_weight(targets: Tensor, radius_px: int, gain: float) -> Tensor:
    """1 everywhere, 1 + gain within `radius_px` of the target's edge; the mean is scaled back to 1 per image."""
    weight = 1 + gain * edge_band(targets, radius_px)
    return weight / weight.mean(dim=_AREA, keepdim=True)


def edge_band(maps: Tensor, radius_px: int) -> Tensor:
    """Highest minus lowest value within `radius_px`: 1 along a hard edge, 0 on flat ground."""
    size = 2 * radius_px + 1
    return _highest(maps, size) + _highest(-maps, size)


def weighted_bce(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets. With a single logit the two-class cross-entropy is the same number."""
    return functional.binary_cross_entropy_with_logits(logits, targets, weight=weight, reduction="none").mean(_AREA)


def soft_dice(alpha: Tensor, targets: Tensor, smooth: float = 0.01) -> Tensor:
    """1 - Dice. `smooth` is a share of the image's area.

    With an empty target the term falls as the predicted area falls, so that photos without a product count.
    Milletari et al. 2016, V-Net, with squared terms in the denominator.
    """
    overlap = (alpha * targets).mean(_AREA)
    total = (alpha.square() + targets.square()).mean(_AREA)
    return 1 - (2 * overlap + smooth) / (total + smooth)


def soft_iou(alpha: Tensor, targets: Tensor, smooth: float = 0.01) -> Tensor:
    """1 - intersection over union (Rahman and Wang 2016); `smooth` as in `soft_dice`."""
    overlap = (alpha * targets).mean(_AREA)
    union = (alpha + targets).mean(_AREA) - overlap
    return 1 - (overlap + smooth) / (union + smooth)


def dissimilarity(alpha: Tensor, targets: Tensor, window_px: int = 11) -> Tensor:
    """1 - SSIM over square windows (Wang et al. 2004), as BASNet uses it."""
    mean_a, mean_t = (_window_mean(each, window_px) for each in (alpha, targets))
    variance_a = _window_mean(alpha.square(), window_px) - mean_a.square()
    variance_t = _window_mean(targets.square(), window_px) - mean_t.square()
    covariance = _window_mean(alpha * targets, window_px) - mean_a * mean_t
    small, smaller = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_t + small) * (2 * covariance + smaller)
    scale = (mean_a.square() + mean_t.square() + small) * (variance_a + variance_t + smaller)
    return 1 - (likeness / scale).mean(_AREA)


def boundary_miss(alpha: Tensor, targets: Tensor, radius_px: int = 2) -> Tensor:
    """1 - F-measure of the edges, each allowed to lie `radius_px` off (Bokhovkin and Burnaev 2019)."""
    ours, theirs = edge_band(alpha, 1), edge_band(targets, 1)
    near_ours, near_theirs = (_highest(each, 2 * radius_px + 1) for each in (ours, theirs))
    small = 1e-4
    precision = ((ours * near_theirs).mean(_AREA) + small) / (ours.mean(_AREA) + small)
    recall = ((theirs * near_ours).mean(_AREA) + small) / (theirs.mean(_AREA) + small)
    return 1 - 2 * precision * recall / (precision + recall)


def alpha_error(alpha: Tensor, targets: Tensor, levels: int = 4) -> Tensor:
    """L1 of alpha and of its Laplacian pyramid, coarse levels counting more (Hou and Liu 2019)."""
    difference = alpha - targets
    error = difference.abs().mean(_AREA)
    for level in range(levels):
        if min(difference.shape[2:]) < 2:  # noqa: PLR2004 - nothing left to halve
            break
        coarse = functional.avg_pool2d(difference, 2, ceil_mode=True, count_include_pad=False)
        back = functional.interpolate(coarse, size=difference.shape[2:], mode="bilinear", align_corners=False)
        error = error + 2**level * (difference - back).abs().mean(_AREA)
        difference = coarse
    return error


def part_targets(targets: Tensor, radius_px: int) -> tuple[Tensor, Tensor]:
    """Body: what is left after eroding by `radius_px`. Rim: the rest, so edges and whatever is thin."""
    size = 2 * radius_px + 1
    body = -_highest(-targets, size)
    return body, targets - body


def segmentation_losses(parts: Sequence[Tensor], targets: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Every term that has a weight, and their weighted sum as `loss`, (N,) each.

    `parts`: logits of the product, and of body and rim where the network tells them apart.
    """
    logits = parts[0].float()
    alpha = torch.sigmoid(logits)
    terms: dict[str, Callable[[], Tensor]] = {
        "bce": lambda: weighted_bce(logits, targets, boundary_weight(targets, 3, weights.edge_gain)),
        "dice": lambda: soft_dice(alpha, targets),
        "iou": lambda: soft_iou(alpha, targets),
        "ssim": lambda: dissimilarity(alpha, targets),
        "boundary": lambda: boundary_miss(alpha, targets),
        "alpha": lambda: alpha_error(alpha, targets),
        "parts": lambda: _parts_loss(parts[1:], targets),
    }
    losses = {name: term() for name, term in terms.items() if getattr(weights, name)}
    total = torch.zeros(len(targets), device=targets.device)
    for name, loss in losses.items():
        total = total + getattr(weights, name) * loss
    return {**losses, "loss": total}


def _parts_loss(parts: Sequence[Tensor], targets: Tensor) -> Tensor:
    if not parts:
        raise ValueError("the loss has a weight for parts, but this architecture does not tell body and rim apart")
    wanted = part_targets(targets, radius_px=max(2, max(targets.shape[2:]) // 128))
    plain = torch.ones_like(targets)
    body, rim = (weighted_bce(part.float(), want, plain) for part, want in zip(parts, wanted, strict=True))
    return body + rim


def _highest(maps: Tensor, size_px: int) -> Tensor:
    """Highest value in a square window: along the rows, then along the columns."""
    rows = functional.max_pool2d(maps, (1, size_px), stride=1, padding=(0, size_px // 2))
    return functional.max_pool2d(rows, (size_px, 1), stride=1, padding=(size_px // 2, 0))


def _window_mean(maps: Tensor, window_px: int) -> Tensor:
    return functional.avg_pool2d(maps, window_px, stride=1, padding=window_px // 2, count_include_pad=False)
