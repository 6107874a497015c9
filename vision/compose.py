"""Put foreground colours and alpha together: straight RGBA, or flattened over a colour. 8-bit arithmetic, rounded."""

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Alpha, RgbaImage, RgbImage
from vision.compiled import compiled
from vision.paint import Colour

WHITE: Colour = (255, 255, 255)


def cutout(foreground: RgbImage, alpha: Alpha) -> RgbaImage:
    """(H, W, 3) uint8 and (H, W) float32 -> (H, W, 4) uint8 straight alpha; pixels of alpha 0 are 0, 0, 0, 0."""
    _check_sizes(foreground, alpha)
    rgba = np.empty((*alpha.shape, 4), np.uint8)
    _put_together(foreground, alpha, rgba)
    return rgba


@compiled
def _put_together(foreground: RgbImage, alpha: Alpha, rgba: RgbaImage) -> None:
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            level = np.uint8(np.rint(alpha[y, x] * np.float32(255)))
            is_shown = np.uint8(255) if level else np.uint8(0)
            for channel in range(3):
                rgba[y, x, channel] = foreground[y, x, channel] & is_shown
            rgba[y, x, 3] = level


def flatten(foreground: RgbImage, alpha: Alpha, colour: Colour) -> RgbImage:
    """Foreground over one colour, (H, W, 3) uint8: exactly `colour` where alpha is 0, exactly F where it is 1."""
    _check_sizes(foreground, alpha)
    flat = np.empty(foreground.shape, np.uint8)
    _lay_over(foreground, alpha, np.array(colour, np.uint8), flat)
    return flat


@compiled
def _lay_over(foreground: RgbImage, alpha: Alpha, colour: NDArray[np.uint8], flat: RgbImage) -> None:
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            part = np.int32(np.rint(alpha[y, x] * np.float32(255)))
            for channel in range(3):
                # Whole numbers: x + 127 over 255 is x / 255 rounded.
                mixed = np.int32(foreground[y, x, channel]) * part + np.int32(colour[channel]) * (255 - part)
                flat[y, x, channel] = np.uint8((mixed + 127) // 255)


def _check_sizes(foreground: RgbImage, alpha: Alpha) -> None:
    if foreground.shape != (*alpha.shape, 3):
        raise ValueError(f"foreground {foreground.shape} does not fit alpha {alpha.shape}")
