"""What the service promises about a file, read back from the encoded bytes (decision 0010)."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.arrays import Mask
from vision.codec.header import PILLOW_FORMATS
from vision.codec.png import read_strips
from vision.compiled import compiled

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXEL_PARTS: Final = frozenset({
    "IHDR", "PLTE", "tRNS", "sRGB", "IDAT", "IEND",
    "VP8 ", "VP8L", "VP8X", "ALPH",
    "SOF0", "DHT", "DQT", "DRI", "SOS", "APP0", "APP14",
})  # fmt: skip
"""Parts of a file that hold pixels or say how to read them: the only ones an output has."""
_JPEG_NAMES: Final = {0xC0: "SOF0", 0xC4: "DHT", 0xDB: "DQT", 0xDD: "DRI", 0xDA: "SOS", 0xFE: "COM"}
_JPEG_APP: Final = range(0xE0, 0xF0)
_JPEG_SOS: Final = 0xDA
_RASTER_AT: Final = 12


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

    PNG: exact. JPEG: exact where the colour's channels are 255 or 0, and in blocks of 8 x 8 without product for every
    colour. WebP is lossy and gives levels near the edge: ask for `worst`.
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
    """Decode an RGBA output and compare the colour under alpha 0 with black. Exact for PNG, not for lossy WebP.

    Lossy WebP spills the colours of visible pixels a few pixels over the edge; what was hidden it never had.
    """
    found = [_shown_through(strip) for strip in _strips(encoded, "RGBA")]
    return ColourCheck(sum(wrong_px for wrong_px, _ in found), max(worst for _, worst in found))


def foreign_parts(encoded: bytes) -> tuple[str, ...]:
    """Names of the file's parts that hold anything but pixels: EXIF, GPS, XMP, profiles, text, bytes behind the end.

    Reads the container itself (PNG chunks, RIFF chunks, JPEG markers up to the scan). Empty for each output.
    Raises ValueError where it is none of the three.
    """
    if encoded.startswith(_PNG_SIGNATURE):
        parts = _png_parts(encoded)
    elif encoded.startswith(b"RIFF") and encoded[8:_RASTER_AT] == b"WEBP":
        parts = _webp_parts(encoded)
    elif encoded.startswith(b"\xff\xd8"):
        parts = _jpeg_parts(encoded)
    else:
        raise ValueError("not a PNG, WebP or JPEG file")
    return tuple(name for name in parts if name not in _PIXEL_PARTS)


def _strips(encoded: bytes, mode: str) -> Iterator[NDArray[np.uint8]]:
    """(h, W, C) uint8 from the top down."""
    if encoded.startswith(_PNG_SIGNATURE):
        for strip in read_strips(encoded):
            if strip.shape[2] != len(mode):
                raise ValueError(f"the file does not hold {mode} pixels")
            yield strip
        return
    with Image.open(BytesIO(encoded), formats=PILLOW_FORMATS) as image:
        yield np.asarray(image if image.mode == mode else image.convert(mode))


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


def _png_parts(encoded: bytes) -> Iterator[str]:
    at = len(_PNG_SIGNATURE)
    name = ""
    while at + 8 <= len(encoded) and name != "IEND":
        length = int.from_bytes(encoded[at : at + 4], "big")
        name = encoded[at + 4 : at + 8].decode("latin-1")
        yield name
        at += 12 + length
    if at != len(encoded):
        yield "bytes behind the end"


def _webp_parts(encoded: bytes) -> Iterator[str]:
    end = 8 + int.from_bytes(encoded[4:8], "little")
    at = _RASTER_AT
    while at + 8 <= end:
        length = int.from_bytes(encoded[at + 4 : at + 8], "little")
        yield encoded[at : at + 4].decode("latin-1")
        at += 8 + length + length % 2
    if at != len(encoded):
        yield "bytes behind the end"


def _jpeg_parts(encoded: bytes) -> Iterator[str]:
    """Markers up to the first scan; JFIF's APP0 and Adobe's APP14 count by their signatures."""
    at, marker = 2, 0
    while marker != _JPEG_SOS:
        marker = encoded[at + 1]
        body = encoded[at + 4 : at + 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")]
        if marker in _JPEG_APP:
            known = body.startswith((b"JFIF\0", b"Adobe"))
            yield f"APP{marker - 0xE0}" if known else f"APP{marker - 0xE0} {body[:4].decode('latin-1')}"
        else:
            yield _JPEG_NAMES.get(marker, f"marker {marker:#x}")
        at += 4 + len(body)
    if not encoded.endswith(b"\xff\xd9"):
        yield "bytes behind the end"
