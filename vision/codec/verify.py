"""What the service promises about a file, read back from the encoded bytes (decision 0010)."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.arrays import Mask
from vision.codec.parts import PNG_SIGNATURE
from vision.codec.png import Pixels, read_strips
from vision.compiled import compiled

_FORMATS: Final = ("JPEG", "WEBP", "AVIF", "TIFF")


@dataclass(frozen=True)
class ColourCheck:
    """How many pixels are off, and by how many levels at most (0 to 255, over the three channels)."""

    wrong_px: int
    worst: int

    @property
    def is_exact(self) -> bool:
        """Every pixel has the colour."""
        return self.wrong_px == 0


def verify_background(encoded: bytes, background: Mask, colour: tuple[int, int, int]) -> ColourCheck:
    """Decode an output and compare the pixels of `background` (H, W) with `colour`.

    PNG, TIFF and lossless WebP: exact. JPEG: exact where the colour's channels are 255 or 0, and in blocks of 8 x 8
    without product for every colour. AVIF: exact for white and black. Lossy WebP gives levels near the edge: ask for
    `worst`.
    Raises ValueError where the sizes differ.
    """
    wrong_px = worst = top = 0
    levels = np.array(colour, np.int64)
    for strip in _strips(encoded, "RGB"):
        where = background[top : top + strip.shape[0]]
        if where.shape != strip.shape[:2]:
            raise ValueError(f"the file's rows {top} to {top + strip.shape[0]} do not fit a mask {background.shape}")
        found = _off(strip, where, levels)
        wrong_px, worst, top = wrong_px + found[0], max(worst, found[1]), top + strip.shape[0]
    if top != background.shape[0]:
        raise ValueError(f"the file has {top} rows, the mask {background.shape[0]}")
    return ColourCheck(wrong_px, worst)


def verify_hidden(encoded: bytes) -> ColourCheck:
    """Decode an RGBA output and compare the colour under alpha 0 with black. Exact for lossless files.

    Lossy WebP and AVIF spill the colours of visible pixels a few pixels over the edge; what was hidden they never had.
    """
    found = [_shown_through(strip) for strip in _strips(encoded, "RGBA")]
    return ColourCheck(sum(wrong_px for wrong_px, _ in found), max(worst for _, worst in found))


def verify_alpha(encoded: bytes, alpha8: NDArray[np.uint8]) -> bool:
    """Decode an RGBA output: whether its alpha is this (H, W) exactly. Raises ValueError where the sizes differ."""
    top = 0
    for strip in _strips(encoded, "RGBA"):
        rows = alpha8[top : top + strip.shape[0]]
        if rows.shape != strip.shape[:2]:
            raise ValueError(f"the file's rows from {top} do not fit an alpha of {alpha8.shape}")
        if not np.array_equal(strip[..., 3], rows):
            return False
        top += strip.shape[0]
    return bool(top == alpha8.shape[0])


def _strips(encoded: bytes, mode: str) -> Iterator[NDArray[np.uint8]]:
    """(h, W, C) uint8 from the top down."""
    if encoded.startswith(PNG_SIGNATURE):
        for strip in read_strips(encoded):
            yield _in_mode(strip, mode)
        return
    with Image.open(BytesIO(encoded), formats=_FORMATS) as image:
        yield np.asarray(image if image.mode == mode else image.convert(mode))


def _in_mode(strip: Pixels, mode: str) -> NDArray[np.uint8]:
    """A palette of opaque colours says nothing of alpha. ValueError for pixels of another kind."""
    if strip.shape[2] == 3 and mode == "RGBA":  # noqa: PLR2004
        return np.dstack([strip, np.full(strip.shape[:2], 255, np.uint8)])
    if strip.dtype != np.uint8 or strip.shape[2] != len(mode):
        raise ValueError(f"the file does not hold {mode} pixels")
    return strip.astype(np.uint8, copy=False)


@compiled
def _off(pixels: NDArray[np.uint8], where: Mask, colour: NDArray[np.int64]) -> tuple[int, int]:
    """How many pixels of `where` have another colour, and by how many levels at most; signed, so that they subtract."""
    count, worst = 0, 0
    for y in range(where.shape[0]):
        for x in range(where.shape[1]):
            if where[y, x]:
                far = 0
                for channel in range(3):
                    far = max(far, abs(int(pixels[y, x, channel] - colour[channel])))
                count += far > 0
                worst = max(worst, far)
    return count, worst


@compiled
def _shown_through(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """How many pixels of alpha 0 are not black, and by how many levels at most."""
    count, worst = 0, 0
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            if pixels[y, x, 3] == 0:
                far = 0
                for channel in range(3):
                    far = max(far, int(pixels[y, x, channel]))
                count += far > 0
                worst = max(worst, far)
    return count, worst
