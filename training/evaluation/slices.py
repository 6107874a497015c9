"""Kinds of photos that are looked at apart, told from the photo and its true alpha."""

import cv2
import numpy as np

from training.evaluation.figures import THRESHOLD
from training.manifest import Row
from vision.arrays import Alpha, Mask, RgbImage

DIMENSIONS = ("source", "category", "contrast", "thin parts", "size")
NEAR_SHARE = 0.02
"""Reach of the bands on both sides of the edge in which contrast is measured, as a share of the diagonal."""
LOW_CONTRAST = 20.0
HIGH_CONTRAST = 40.0
THIN_SHARE = 0.005
"""A part thinner than twice this share of the diagonal is thin."""
MUCH_THIN = 0.02
SMALL_SIZE = 0.1
LARGE_SIZE = 0.3


def slices_of(row: Row, image: RgbImage, truth: Alpha) -> dict[str, str]:
    """The slice of each dimension that a photo belongs to."""
    product = truth >= THRESHOLD
    return {
        "source": row.source,
        "category": row.category,
        "contrast": _name(contrast(image, product), LOW_CONTRAST, HIGH_CONTRAST, ("low", "middle", "high")),
        "thin parts": "many" if thin_share(product) >= MUCH_THIN else "few",
        "size": _name(float(product.mean()), SMALL_SIZE, LARGE_SIZE, ("small", "middle", "large")),
    }


def contrast(image: RgbImage, product: Mask) -> float:
    """CIE76 distance of the median colours on the two sides of the edge; 0 without an edge."""
    reach_px = max(1, round(NEAR_SHARE * float(np.hypot(*product.shape))))
    kernel, inside = np.ones((3, 3), np.uint8), product.astype(np.uint8)
    grown = cv2.dilate(inside, kernel, iterations=reach_px).astype(np.bool_)
    shrunk = cv2.erode(inside, kernel, iterations=reach_px).astype(np.bool_)
    bands = (product & ~shrunk, grown & ~product)
    if not all(band.any() for band in bands):
        return 0.0
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
    one, other = (np.median(lab[band], axis=0) for band in bands)
    return float(np.linalg.norm(one - other))


def thin_share(product: Mask) -> float:
    """Share of the product that an opening by a disc removes: cables, legs, straps, leaves; 0 for an empty mask."""
    if not product.any():
        return 0.0
    radius_px = max(1, round(THIN_SHARE * float(np.hypot(*product.shape))))
    side = 2 * radius_px + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(product.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return 1 - float(opened.sum()) / float(product.sum())


def _name(value: float, low: float, high: float, names: tuple[str, str, str]) -> str:
    return names[0] if value < low else names[2] if value >= high else names[1]
