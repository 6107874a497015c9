"""Layers that are not one opaque colour: paint that lets light through, colours without a hole, part of an alpha."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Alpha, RgbImage
from vision.compiled import compiled
from vision.frame import Box
from vision.numeric import alpha_to_uint8
from vision.paint import Paint

_FULL = 255
_SHRINK = 8
_REACH = 9
"""Of the bled colours, in shrunken pixels: wider than the blocks of a JPEG, so that no edge rings."""


def keep_inside(alpha: Alpha, box: Box) -> Alpha:
    """(H, W) alpha that is 0 outside the box, a copy."""
    left, top, right, bottom = box
    kept = np.zeros_like(alpha)
    kept[top:bottom, left:right] = alpha[top:bottom, left:right]
    return kept


def lay_under(foreground: RgbImage, alpha: Alpha, paint: Paint) -> tuple[RgbImage, Alpha]:
    """Foreground (H, W, 3) uint8 over a paint with opacity: the colours (straight) and alpha of both together.

    Porter and Duff (1984), over: a = af + (1 - af) ab, with a F = af Ff + (1 - af) ab Fb; rounded to 8 bits.
    """
    colours = np.empty(foreground.shape, np.uint8)
    together = np.empty(alpha.shape, np.float32)
    _lay_under(foreground, alpha, np.array(paint.colour, np.uint8), paint.opacity, colours, together)
    return colours, together


@compiled
def _lay_under(
    foreground: RgbImage, alpha: Alpha, colour: NDArray[np.uint8], opacity: int, colours: RgbImage, together: Alpha
) -> None:
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            part = np.int64(np.rint(alpha[y, x] * np.float32(255)))
            front = part * 255
            back = (255 - part) * opacity
            whole = front + back
            together[y, x] = np.float32((whole + 127) // 255) / np.float32(255)
            for channel in range(3):
                mixed = np.int64(foreground[y, x, channel]) * front + np.int64(colour[channel]) * back
                colours[y, x, channel] = np.uint8((mixed + whole // 2) // whole) if whole else np.uint8(0)


def bleed(foreground: RgbImage, alpha: Alpha) -> RgbImage:
    """The product's colours without a hole, (H, W, 3) uint8: as they are where alpha is above 0.

    Elsewhere the colours of the nearest edge run out into their mean, so that nothing of the background is left and a
    JPEG has no edge to blur.
    """
    alpha8 = alpha_to_uint8(alpha)
    if not alpha8.any():
        return np.zeros_like(foreground)
    height, width = alpha.shape
    small_wh = max(1, width // _SHRINK), max(1, height // _SHRINK)
    shown = (alpha8 > 0).astype(np.uint8)
    weight = cv2.resize(shown * _FULL, small_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
    sums = cv2.resize(foreground * shown[..., None], small_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
    near_weight = cv2.blur(weight, (_REACH, _REACH), borderType=cv2.BORDER_REPLICATE)
    near = cv2.blur(sums, (_REACH, _REACH), borderType=cv2.BORDER_REPLICATE)
    mean = np.array(cv2.mean(foreground, shown)[:3], np.float32)
    filled = np.where(
        near_weight[..., None] > 1, near * np.float32(_FULL) / np.maximum(near_weight, 1)[..., None], mean
    )
    spread = cv2.resize(np.clip(np.rint(filled), 0, _FULL).astype(np.uint8), (width, height))
    spread = spread.reshape(foreground.shape)
    bled: RgbImage = np.where(shown[..., None] > 0, foreground, spread)
    return bled
