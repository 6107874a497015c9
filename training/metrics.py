"""How well an alpha fits the truth. Every function takes (H, W) float32 alphas in [0, 1], truth first."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from py_sod_metrics import WeightedFmeasure

from vision.arrays import Alpha, Mask

THRESHOLD = 0.5
BAND_SHARE = 0.01
"""Width of the boundary band, as a share of the photo's diagonal."""
METRICS = ("iou", "biou", "mae", "grad_mse", "wf")


def measure(truth: Alpha, alpha: Alpha) -> dict[str, float]:
    """All metrics of one photo by name, `METRICS`. `wf` is NaN when the truth is empty."""
    truth_mask, mask = truth >= THRESHOLD, alpha >= THRESHOLD
    return {
        "iou": _iou(truth_mask, mask),
        "biou": boundary_iou(truth_mask, mask),
        "mae": float(np.abs(truth - alpha).mean()),
        "grad_mse": float(np.square(_gradient(truth) - _gradient(alpha)).mean() * 1000),
        "wf": weighted_f(truth_mask, alpha),
    }


def summarise(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each metric over photos, their number `n`, and `under_08`: photos with an IoU under 0.8."""
    summary = {name: float(np.nanmean([row[name] for row in rows])) for name in METRICS}
    return {"n": len(rows), **summary, "under_08": sum(row["iou"] < 0.8 for row in rows)}  # noqa: PLR2004


def boundary_iou(truth: Mask, mask: Mask) -> float:
    """IoU of the inner bands along both outlines. Cheng et al. 2021; a band of 1 % of the diagonal."""
    width_px = max(1, round(BAND_SHARE * float(np.hypot(*truth.shape))))
    return _iou(_inner_band(truth, width_px), _inner_band(mask, width_px))


def weighted_f(truth: Mask, alpha: Alpha) -> float:
    """Weighted F-measure, Margolin et al. 2014, as PySODMetrics computes it; NaN when the truth is empty."""
    if not truth.any():
        return float("nan")
    metric = WeightedFmeasure()
    metric.step((alpha * 255).astype(np.uint8), (truth * 255).astype(np.uint8))
    return float(metric.get_results()["wfm"])


def _iou(one: Mask, other: Mask) -> float:
    union = int((one | other).sum())
    return 1.0 if union == 0 else int((one & other).sum()) / union


def _inner_band(mask: Mask, width_px: int) -> Mask:
    # A border of background: a product that the frame cuts off has an outline there too.
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width_px)
    band: Mask = (padded - eroded)[1:-1, 1:-1].astype(np.bool_)
    return band


def _gradient(alpha: Alpha) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(alpha, (0, 0), 1.4)
    return np.hypot(cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1))
