"""Pixels to where `vision.frame` wants them: alpha and colours scaled together, premultiplied, so that no edge bleeds.

Sixteen bits between: F * a and 255 * a are whole numbers up to 65 025; half of them leaves room for what bicubic
scaling overshoots.
"""

import cv2
import numpy as np

from vision.arrays import Alpha, RgbImage
from vision.frame import Placement
from vision.numeric import alpha_to_uint8

_FULL = 255


def apply(placement: Placement, foreground: RgbImage, alpha: Alpha) -> tuple[RgbImage, Alpha]:
    """(H, W, 3) uint8 and (H, W) float32 of a photo, as they stand on the canvas; alpha is 0 where nothing is.

    Alpha comes back in steps of 1 / 255. Smaller: area means; larger: bicubic.
    """
    if placement.is_identity:
        return foreground, alpha
    left, top, right, bottom = placement.source
    alpha8 = alpha_to_uint8(np.ascontiguousarray(alpha[top:bottom, left:right]))
    colours = foreground[top:bottom, left:right]
    x0, y0, x1, y1 = placement.target
    if (y1 - y0, x1 - x0) != alpha8.shape:
        colours, alpha8 = _scale(colours, alpha8, (x1 - x0, y1 - y0))
    height, width = placement.canvas_hw
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas_alpha = np.zeros((height, width), np.float32)
    rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
    part = slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0)
    canvas[rows, columns] = colours[part]
    canvas_alpha[rows, columns] = alpha8[part].astype(np.float32) / np.float32(_FULL)
    return canvas, canvas_alpha


def apply_alpha(placement: Placement, alpha: Alpha) -> Alpha:
    """The alpha alone, (H, W) float32 on the canvas, not rounded to 8 bits: for masks of 16 bits."""
    if placement.is_identity:
        return alpha
    left, top, right, bottom = placement.source
    part = np.ascontiguousarray(alpha[top:bottom, left:right])
    x0, y0, x1, y1 = placement.target
    if (y1 - y0, x1 - x0) != part.shape:
        part = np.clip(cv2.resize(part, (x1 - x0, y1 - y0), interpolation=_how(part.shape, (x1 - x0, y1 - y0))), 0, 1)
    height, width = placement.canvas_hw
    canvas = np.zeros((height, width), np.float32)
    rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
    canvas[rows, columns] = part[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
    return canvas


def _how(hw: tuple[int, ...], size_wh: tuple[int, int]) -> int:
    """Smaller: area means; larger: bicubic."""
    return cv2.INTER_AREA if size_wh[0] <= hw[1] and size_wh[1] <= hw[0] else cv2.INTER_CUBIC


def _scale(
    colours: RgbImage, alpha8: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], size_wh: tuple[int, int]
) -> tuple[RgbImage, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    how = _how(alpha8.shape, size_wh)
    premultiplied = (colours.astype(np.uint16) * alpha8[..., None]) >> 1
    scaled = cv2.resize(premultiplied, size_wh, interpolation=how)
    weight = cv2.resize((alpha8.astype(np.uint16) * _FULL) >> 1, size_wh, interpolation=how)
    # No pixel is more than fully there, and no colour brighter than 255.
    scaled_alpha8 = np.minimum((2 * weight.astype(np.uint32) + _FULL // 2) // _FULL, _FULL).astype(np.uint8)
    divisor = np.maximum(weight, 1).astype(np.float32)[..., None]
    straight = np.minimum(np.rint(scaled * np.float32(_FULL) / divisor), _FULL).astype(np.uint8)
    return straight, scaled_alpha8
