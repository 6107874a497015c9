"""The errors of the matting literature. Every function takes (H, W) float32 alphas in [0, 1], truth first.

Sums run over the whole photo, as there is no trimap: published figures of the unknown band alone are smaller.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from py_sod_metrics import Smeasure

from vision.arrays import Alpha, Mask

GRAD_SIGMA = 1.4
CONN_STEP = 0.1
CONN_SLACK = 0.15
"""Theta of Rhemann et al.: smaller departures from the connected part count as connected."""
_THOUSAND = 1000.0


def sad(truth: Alpha, alpha: Alpha) -> float:
    """Sum of absolute differences, in thousands."""
    return float(np.abs(truth - alpha).sum(dtype=np.float64)) / _THOUSAND


def mse(truth: Alpha, alpha: Alpha) -> float:
    """Mean squared difference."""
    return float(np.square(truth - alpha).mean(dtype=np.float64))


def dice(truth: Mask, mask: Mask) -> float:
    """Twice the intersection over the sum of the areas; 1 when both are empty."""
    total = int(truth.sum()) + int(mask.sum())
    return 2 * int((truth & mask).sum()) / total if total else 1.0


def grad(truth: Alpha, alpha: Alpha) -> float:
    """Sum of squared differences of gradient magnitudes, in thousands. Rhemann et al. 2009, section 3.

    Gradients are first derivatives of a Gaussian (sigma 1.4) whose filters have unit norm, as in the authors' code,
    which stretches each alpha to its own range before: that is left out, a faint matte is not a firm one.
    """
    difference = _gradient_magnitude(truth) - _gradient_magnitude(alpha)
    return float(np.square(difference).sum(dtype=np.float64)) / _THOUSAND


def conn(truth: Alpha, alpha: Alpha) -> float:
    """Sum of differences in connectedness, in thousands. Rhemann et al. 2009, section 3, with p = 1 and theta 0.15.

    The reference part is the largest region where both alphas reach a level; a pixel is as connected as the highest
    level at which that region still holds it.
    """
    levels = np.arange(1, round(1 / CONN_STEP) + 1, dtype=np.float32) * np.float32(CONN_STEP)
    connected = np.full(truth.shape, -1, np.float32)
    for level in levels:
        both = ((truth >= level) & (alpha >= level)).astype(np.uint8)
        outside = (connected < 0) & ~_largest_region(both)
        connected[outside] = level - np.float32(CONN_STEP)
    connected[connected < 0] = 1
    return float(np.abs(_phi(truth, connected) - _phi(alpha, connected)).sum(dtype=np.float64)) / _THOUSAND


def s_measure(truth: Mask, alpha: Alpha) -> float:
    """Structure measure, Fan et al. 2017, as PySODMetrics computes it."""
    metric = Smeasure()
    metric.step(np.rint(alpha * 255).astype(np.uint8), (truth * 255).astype(np.uint8))
    return float(metric.get_results()["sm"])


def _phi(alpha: Alpha, connected: Alpha) -> Alpha:
    distance = alpha - connected
    return np.where(distance >= CONN_SLACK, 1 - distance, np.float32(1)).astype(np.float32)


def _largest_region(mask: NDArray[np.uint8]) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count == 1:
        return np.zeros(mask.shape, np.bool_)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    region: Mask = labels == largest
    return region


def _gradient_magnitude(alpha: Alpha) -> NDArray[np.float32]:
    smooth, slope = _filters()
    along_x = cv2.sepFilter2D(alpha, cv2.CV_32F, slope, smooth, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(alpha, cv2.CV_32F, smooth, slope, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(along_x, along_y).astype(np.float32)


def _filters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A Gaussian and its derivative, scaled so that their outer product has unit norm; cut where below a hundredth."""
    scale = np.sqrt(2 * np.pi) * GRAD_SIGMA
    half_px = int(np.ceil(GRAD_SIGMA * np.sqrt(-2 * np.log(scale * 0.01))))
    x = np.arange(-half_px, half_px + 1, dtype=np.float64)
    smooth = np.exp(-np.square(x) / (2 * GRAD_SIGMA**2)) / scale
    slope = -x * smooth / GRAD_SIGMA**2
    norm = np.linalg.norm(smooth) * np.linalg.norm(slope)
    return smooth, slope / norm
