"""How the cutout looks on a page: composites over white, and the fringe that the old background leaves."""

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vision.arrays import Alpha, Colours, Mask, RgbImage

BEST_PSNR = 60.0
"""Decibels of two alike pictures: an infinite one would spoil every mean."""
EDGE_REACH_PX = 2
"""How far the edge band reaches beyond the pixels whose true alpha is neither 0 nor 1."""


def composite(foreground: RgbImage, alpha: Alpha, ground: float) -> Colours:
    """AF + (1 - a) * ground, (H, W, 3) float32 in [0, 255]."""
    shares = alpha[..., None]
    return np.asarray(shares * foreground + (1 - shares) * np.float32(ground), np.float32)


def psnr(truth: Colours, made: Colours) -> float:
    """Peak signal to noise ratio in decibels, at most 60."""
    if np.array_equal(truth, made):
        return BEST_PSNR
    return min(BEST_PSNR, float(peak_signal_noise_ratio(truth, made, data_range=255)))


def ssim(truth: Colours, made: Colours) -> float:
    """Structural similarity, Wang et al. 2004 (Gaussian windows), mean of the channels; NaN for less than 11 px."""
    if min(truth.shape[:2]) < 11:  # noqa: PLR2004 - the window of the paper
        return float("nan")
    found = structural_similarity(
        truth, made, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(found)


def edge_band(truth: Alpha) -> Mask:
    """Pixels within 2 px of the product's true edge, soft or hard."""
    inside = (truth >= 0.5).astype(np.uint8)  # noqa: PLR2004
    kernel = np.ones((3, 3), np.uint8)
    edge = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, kernel).astype(np.bool_) | ((truth > 0) & (truth < 1))
    side = 2 * EDGE_REACH_PX + 1
    band: Mask = cv2.dilate(edge.astype(np.uint8), np.ones((side, side), np.uint8)).astype(np.bool_)
    return band


def fringe(truth: Colours, made: Colours, band: Mask) -> float:
    """Mean CIEDE2000 difference of two composites within the band; NaN without one."""
    if not band.any():
        return float("nan")
    one, other = (_lab(picture[band]) for picture in (truth, made))
    return float(deltaE_ciede2000(one, other).mean())


def _lab(colours: Colours) -> Colours:
    """(N, 3) sRGB in [0, 255] -> CIELAB (D65)."""
    lab = cv2.cvtColor(np.ascontiguousarray(colours[None] / np.float32(255)), cv2.COLOR_RGB2Lab)
    return np.asarray(lab[0], np.float32)
