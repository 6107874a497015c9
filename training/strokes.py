"""Shapes with the exact share of every pixel: drawn larger and averaged down. OpenCV smooths lines on uint8 only."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Alpha, Hw

LARGER = 4


def stroke(hw: Hw, points: NDArray[np.float32], thickness_px: float) -> Alpha:
    """A line through points (n, 2) in x, y."""
    canvas = np.zeros((hw[0] * LARGER, hw[1] * LARGER), np.uint8)
    cv2.polylines(
        canvas, [(points * LARGER).round().astype(np.int32)], False, 255, max(1, round(LARGER * thickness_px))
    )
    return _averaged(canvas, hw)


def ellipse(hw: Hw, middle: tuple[float, float], axes: tuple[float, float], angle_deg: float = 0.0) -> Alpha:
    """A filled ellipse; `middle` and the half `axes` in x, y."""
    canvas = np.zeros((hw[0] * LARGER, hw[1] * LARGER), np.uint8)
    cv2.ellipse(canvas, _larger(middle), _larger(axes), angle_deg, 0, 360, 255, -1)
    return _averaged(canvas, hw)


def _larger(pair: tuple[float, float]) -> tuple[int, int]:
    return (round(LARGER * pair[0]), round(LARGER * pair[1]))


def _averaged(canvas: NDArray[np.uint8], hw: Hw) -> Alpha:
    return cv2.resize(canvas, (hw[1], hw[0]), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
