"""PNGs of 16 bits a channel, rounded to 8.

Pillow keeps the high byte of each sample of a colour. Read once more with the two bytes taken for each other, the same
file gives the low ones: two passes by one library are quicker than one more by another, and need half of the memory.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.codec.depth import to_8_bits

# Offsets in a PNG, whose IHDR stands first (PNG Third Edition, section 11.2.1): 8 bytes of signature, 8 of chunk head.
BITS_AT: Final = 24
DEEP: Final = 16
_COLOUR_TYPE_AT: Final = 25
_IHDR: Final = slice(12, 29)
_CRC: Final = slice(29, 33)
_GREY_ALPHA: Final = 4
_EIGHT_BITS_RGBA: Final = b"\x08\x06"
_LOW_BYTES: Final = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_STRIP_ROWS: Final = 32
"""Strips that stay in the cache."""
_HALF: Final = 128


def planes_of_deep_png(image: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None]:
    """Colour of mode L or RGB, and alpha of mode L where there is any, of a PNG that Pillow has read whole.

    `data` is the file. What Pillow read is written over.
    """
    key = image.info.get("transparency")
    if image.mode.startswith("I"):
        return _grey(image, key)
    if data[_COLOUR_TYPE_AT] == _GREY_ALPHA:
        return _grey_alpha(data)
    return _colour(image, data, key)


def _grey(image: Image.Image, key: object) -> tuple[Image.Image, Image.Image | None]:
    wide = np.asarray(image)
    alpha = None if key is None else Image.fromarray(np.where(wide == key, 0, 255).astype(np.uint8))
    return Image.fromarray(to_8_bits(wide)), alpha


def _grey_alpha(data: bytes) -> tuple[Image.Image, Image.Image]:
    """Its two samples of two bytes are read as four of one: filters and rows are the same for both."""
    head = data[_IHDR]
    at = BITS_AT - _IHDR.start
    head = head[:at] + _EIGHT_BITS_RGBA + head[at + 2 :]
    as_rgba = data[: _IHDR.start] + head + struct.pack(">I", zlib.crc32(head)) + data[_CRC.stop :]
    with Image.open(BytesIO(as_rgba), formats=("PNG",)) as image:
        grey, grey_low, alpha, alpha_low = image.split()
    _round(grey, grey_low)
    _round(alpha, alpha_low)
    return grey, alpha


def _colour(image: Image.Image, data: bytes, key: object) -> tuple[Image.Image, Image.Image | None]:
    with Image.open(BytesIO(data), formats=("PNG",)) as low:
        [tile] = low.tile
        low.tile = [tile._replace(args=_LOW_BYTES[str(tile.args)])]
        low.load()
        alpha = _where(image, low, key) if isinstance(key, tuple) else None
        _round(image, low)
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    return image, alpha


def _where(high: Image.Image, low: Image.Image, key: tuple[int, ...]) -> Image.Image:
    """Alpha 0 at the one colour that the file calls transparent (tRNS)."""
    alpha = np.empty((high.height, high.width), np.uint8)
    for top, upper, lower in _strips(high, low):
        is_key = (upper == [level >> 8 for level in key]) & (lower == [level & 255 for level in key])
        alpha[top : top + len(upper)] = np.where(is_key.all(axis=-1), 0, 255)
    return Image.fromarray(alpha)


def _round(high: Image.Image, low: Image.Image) -> None:
    """Write round(v * 255 / 65535), v being 256 `high` + `low`, over `high`.

    v is 257 `high` + (`low` - `high`), so that the high byte is right, or one off where the two are far apart.
    """
    for top, upper, lower in _strips(high, low):
        is_up = (lower > upper) & (lower - upper > _HALF)
        is_down = (upper > lower) & (upper - lower > _HALF)
        high.paste(Image.fromarray(upper + is_up.view(np.uint8) - is_down.view(np.uint8)), (0, top))


def _strips(high: Image.Image, low: Image.Image) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
    for top in range(0, high.height, _STRIP_ROWS):
        box = (0, top, high.width, min(top + _STRIP_ROWS, high.height))
        yield top, np.asarray(high.crop(box)), np.asarray(low.crop(box))
