"""Put foreground colours and alpha together: straight RGBA, or flattened over a colour. 8-bit arithmetic, rounded."""

import re
from typing import TypeAlias

import cv2
import numpy as np

from vision.arrays import Alpha, RgbaImage, RgbImage
from vision.numeric import alpha_to_uint8

Colour: TypeAlias = tuple[int, int, int]
"""sRGB values of 0 to 255."""

WHITE: Colour = (255, 255, 255)
STRIP_PX = 128
"""Rows worked on at once, so that what stands between lies in the cache and memory stays small."""


def parse_colour(text: str) -> Colour | None:
    """`transparent` -> None, `white` or `#RRGGBB` -> colour. ValueError for anything else."""
    word = text.strip().lower()
    if word == "transparent":
        return None
    if word == "white":
        return WHITE
    if re.fullmatch(r"#[0-9a-f]{6}", word):
        return int(word[1:3], 16), int(word[3:5], 16), int(word[5:7], 16)
    raise ValueError(f"{text!r} is not a colour: transparent, white or #RRGGBB")


def cutout(foreground: RgbImage, alpha: Alpha) -> RgbaImage:
    """(H, W, 3) uint8 and (H, W) float32 -> (H, W, 4) uint8 straight alpha; pixels of alpha 0 are 0, 0, 0, 0."""
    _check_sizes(foreground, alpha)
    rgba = np.empty((*alpha.shape, 4), np.uint8)
    for top in range(0, alpha.shape[0], STRIP_PX):
        rows = slice(top, top + STRIP_PX)
        alpha8 = alpha_to_uint8(alpha[rows])
        colours = np.ascontiguousarray(foreground[rows])
        shown = cv2.bitwise_and(colours, colours, mask=alpha8)
        cv2.mixChannels([shown, alpha8], [rgba[rows]], [0, 0, 1, 1, 2, 2, 3, 3])
    return rgba


def flatten(foreground: RgbImage, alpha: Alpha, colour: Colour) -> RgbImage:
    """Foreground over one colour, (H, W, 3) uint8: exactly `colour` where alpha is 0, exactly F where it is 1."""
    _check_sizes(foreground, alpha)
    flat = np.empty(foreground.shape, np.uint8)
    line = np.full((alpha.shape[1], 3), colour, np.uint8)
    for top in range(0, alpha.shape[0], STRIP_PX):
        rows = slice(top, top + STRIP_PX)
        alpha8 = alpha_to_uint8(alpha[rows])
        flat[rows] = line
        cv2.copyTo(foreground[rows], alpha8, flat[rows])
        mixed = np.flatnonzero((alpha8 > 0) & (alpha8 < 255))  # noqa: PLR2004
        part = alpha8.reshape(-1)[mixed].astype(np.uint32)[:, None]
        seen = foreground[rows].reshape(-1, 3)[mixed]
        # Whole numbers: x + 127 over 255 is x / 255 rounded.
        flat[rows].reshape(-1, 3)[mixed] = (seen * part + np.array(colour) * (255 - part) + 127) // 255
    return flat


def _check_sizes(foreground: RgbImage, alpha: Alpha) -> None:
    if foreground.shape != (*alpha.shape, 3):
        raise ValueError(f"foreground {foreground.shape} does not fit alpha {alpha.shape}")
