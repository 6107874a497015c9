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
from vision.codec.png import read_png

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
_OPAQUE_FROM: Final = 1 << 24


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
    return _compare(_pixels(encoded, "RGB"), background, colour)


def verify_hidden(encoded: bytes) -> ColourCheck:
    """Decode an RGBA output and compare the colour under alpha 0 with black. Exact for PNG, not for lossy WebP.

    Lossy WebP spills the colours of visible pixels a few pixels over the edge; what was hidden it never had.
    """
    pixels = _pixels(encoded, "RGBA")
    # As one little-endian number a pixel: alpha 0 is below 2^24, and any colour under it is more than 0.
    as_numbers = np.ascontiguousarray(pixels).view("<u4")[..., 0]
    wrong = (as_numbers > 0) & (as_numbers < _OPAQUE_FROM)
    return ColourCheck(wrong_px=int(np.count_nonzero(wrong)), worst=int(pixels[wrong][:, :3].max(initial=0)))


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


def _pixels(encoded: bytes, mode: str) -> NDArray[np.uint8]:
    if encoded.startswith(_PNG_SIGNATURE):
        pixels = read_png(encoded)
        if pixels.shape[2:] != (len(mode),):
            raise ValueError(f"the file does not hold {mode} pixels")
        return pixels
    with Image.open(BytesIO(encoded), formats=PILLOW_FORMATS) as image:
        return np.asarray(image if image.mode == mode else image.convert(mode))


def _compare(pixels: NDArray[np.uint8], where: Mask, colour: tuple[int, int, int]) -> ColourCheck:
    if pixels.shape[:2] != where.shape:
        raise ValueError(f"the file has {pixels.shape[:2]} pixels, the mask {where.shape}")
    wrong = np.zeros(where.shape, np.bool_)
    for channel, level in enumerate(colour):
        wrong |= pixels[..., channel] != level
    wrong &= where
    # The distance is worked out for the few that are wrong: this check runs on every output.
    off = np.abs(pixels[wrong].astype(np.int16) - np.array(colour, np.int16))
    return ColourCheck(wrong_px=len(off), worst=int(off.max(initial=0)))


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
