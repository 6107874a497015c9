"""What is known about a matte, and what a catalog team should do with it: pass, review or fail, with reasons."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

import cv2
import numpy as np

from vision.arrays import Alpha, Mask
from vision.calibration import Calibration
from vision.numeric import alpha_to_uint8

Side: TypeAlias = Literal["top", "right", "bottom", "left"]

MEASURE_SIDE_PX = 512
"""Longer side of the shrunken matte on which parts and holes are counted."""
VISIBLE_8BIT = 26
"""Alpha (of 255) from which a pixel counts for the box around the product: a tenth."""


class Verdict(StrEnum):
    """What to do with a result."""

    PASS = "pass"  # noqa: S105
    REVIEW = "review"
    FAIL = "fail"


class Reason(StrEnum):
    """Why a verdict is not `pass`; stable codes."""

    NO_FOREGROUND = "no_foreground"  # nothing that could be a product was found
    LOW_CONFIDENCE = "low_confidence"  # the network itself is unsure of a large share of the product
    TOUCHES_BORDER = "touches_border"  # cut off by the photo's edge: not allowed for a main image
    FILLS_FRAME = "fills_frame"  # nearly everything was kept: mostly a close-up, or a background taken for product
    VERY_SMALL = "very_small"  # so little was kept that it is more likely a crumb than the product
    FRAGMENTED = "fragmented"  # many pieces and none of them dominates: scraps of a background, or a torn product


@dataclass(frozen=True)
class Facts:
    """Measured on one matte."""

    coverage: float
    """Mean alpha: the share of the photo that is product."""
    max_alpha: float
    bbox_xyxy_px: tuple[int, int, int, int] | None
    """Left, top, right, bottom (exclusive) of alpha >= 0.1 in native pixels; None when there is none."""
    components: int
    """Pieces of alpha >= 0.5 with at least 1 % of the area of the largest."""
    largest_share: float
    """Largest piece over all pieces; 0 when there is none."""
    holes: int
    """Openings in the product of at least 0.05 % of its area."""
    touches_border: tuple[Side, ...]
    """Sides of the photo along which the product runs for more than 1 % of the side."""
    soft_share: float
    """Pixels with 0.05 < alpha < 0.95 over pixels with alpha >= 0.05: width of the edge, glass, hair."""
    confidence: float | None
    """Expected IoU of the network's mask under its own probabilities, 0 to 1; None without a network."""


@dataclass(frozen=True)
class Thresholds:
    """Where a verdict changes, whatever the model; the limits of its confidence are its own (`Calibration`)."""

    no_foreground_max_alpha: float = 0.5
    no_foreground_coverage: float = 0.0005
    very_small_coverage: float = 0.01
    fills_frame_coverage: float = 0.95
    fragmented_components: int = 6
    fragmented_largest_share: float = 0.6


DEFAULT_THRESHOLDS = Thresholds()
UNCALIBRATED = Calibration(slope=1.0, intercept=0.0, review_below=0.85, fail_below=0.5, photos=0, empties=0)
"""Of models that nobody measured: the score is the raw confidence, and careful limits."""


@dataclass(frozen=True)
class Judgement:
    """A verdict and its reasons, most serious first."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = field(default=())
    score: float | None = None
    """Calibrated confidence, 0 to 1; None without a network."""


def confidence_of(network_alpha: Alpha) -> float:
    """Expected intersection over expected union of the mask alpha >= 0.5, if alpha is a probability.

    network_alpha: sigmoid of the network's logits without padding, not refined. Near 1 when every pixel is decided,
    0 where no pixel is taken for product.
    """
    inside = network_alpha >= 0.5  # noqa: PLR2004
    union = float(inside.sum()) + float(network_alpha[~inside].sum())
    return float(network_alpha[inside].sum()) / union if union else 0.0


def bounds(alpha: Alpha) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom (exclusive) of alpha >= 0.1, (H, W) float32; None when there is none."""
    x, y, width, height = cv2.boundingRect((alpha_to_uint8(alpha) >= VISIBLE_8BIT).astype(np.uint8))
    return (x, y, x + width, y + height) if width else None


def measure(alpha: Alpha, confidence: float | None = None) -> Facts:
    """Facts of an (H, W) float32 alpha; counts and shares come from a copy of at most 512 px, the box is native."""
    small = _shrink(alpha)
    mask = small >= 0.5  # noqa: PLR2004
    areas = _areas(mask)
    kept = areas[areas >= 0.01 * areas[0]] if areas.size else areas
    openings = _areas(~np.pad(mask, 1))[1:]  # the largest region of the ground lies around the product
    soft = (small > 0.05) & (small < 0.95)  # noqa: PLR2004
    return Facts(
        coverage=float(small.mean()),
        max_alpha=float(alpha.max()),
        bbox_xyxy_px=bounds(alpha),
        components=int(kept.size),
        largest_share=float(areas[0] / areas.sum()) if areas.size else 0.0,
        holes=int((openings >= 0.0005 * mask.sum()).sum()),
        touches_border=_touched_sides(mask),
        soft_share=float(soft.sum() / max(1, (small >= 0.05).sum())),  # noqa: PLR2004
        confidence=confidence,
    )


def judge(
    facts: Facts, calibration: Calibration | None = None, thresholds: Thresholds = DEFAULT_THRESHOLDS
) -> Judgement:
    """`fail` when there is no product, `review` when a person should look, else `pass`.

    calibration: of the model that made the matte; None for one that was never measured.
    """
    limits = calibration or UNCALIBRATED
    score = None if facts.confidence is None else limits.score(facts.confidence)
    empty = facts.coverage < thresholds.no_foreground_coverage
    faint = facts.max_alpha < thresholds.no_foreground_max_alpha
    if empty or faint or (score is not None and score < limits.fail_below):
        return Judgement(Verdict.FAIL, (Reason.NO_FOREGROUND,), score)
    scraps = (
        facts.components >= thresholds.fragmented_components
        and facts.largest_share < thresholds.fragmented_largest_share
    )
    findings = {
        Reason.LOW_CONFIDENCE: score is not None and score < limits.review_below,
        Reason.FILLS_FRAME: facts.coverage > thresholds.fills_frame_coverage,
        Reason.VERY_SMALL: facts.coverage < thresholds.very_small_coverage,
        Reason.FRAGMENTED: scraps,
        Reason.TOUCHES_BORDER: bool(facts.touches_border),
    }
    reasons = tuple(reason for reason, found in findings.items() if found)
    return Judgement(Verdict.REVIEW if reasons else Verdict.PASS, reasons, score)


def _shrink(alpha: Alpha) -> Alpha:
    height, width = alpha.shape
    factor = -(-max(height, width) // MEASURE_SIDE_PX)
    if factor == 1:
        return alpha
    size = (max(1, width // factor), max(1, height // factor))
    return cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def _areas(mask: Mask) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Areas of connected regions, largest first."""
    stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)[2]
    return np.sort(stats[1:, cv2.CC_STAT_AREA].astype(np.int64))[::-1]


def _touched_sides(mask: Mask) -> tuple[Side, ...]:
    sides: tuple[tuple[Side, Mask], ...] = (
        ("top", mask[0]),
        ("right", mask[:, -1]),
        ("bottom", mask[-1]),
        ("left", mask[:, 0]),
    )
    return tuple(name for name, line in sides if line.mean() > 0.01)  # noqa: PLR2004
