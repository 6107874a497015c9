"""AVIF whose white, or black, background is exactly that, up to the product's very edge.

AV1 rings like JPEG: white beside the product comes back as 230 to 254. What helps there helps here
(`vision.codec.jpeg`): white is written brighter than white, and the ringing stays beyond the cut. The room for it is
that of video levels: luma 235 is white, and what lies above it up to 255 is cut off by every decoder (ITU-R BT.601; AV1
specification, color_range 0). The encoder takes RGB only and makes full-range YCbCr of it, so it is given the RGB
whose full-range YCbCr is the video-range YCbCr that is wanted; then the two places that tell a file's range, the `nclx`
box and the AV1 sequence header, are set to video range. The file is an ordinary AVIF of video range.

Where hair or noise is too much for the 20 levels of room at some quality, a higher one is taken: at 100 AV1 loses
nothing, and white is white. A large picture takes a minute and gigabytes, so there are three tries at most, and one
large picture is encoded at a time.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.arrays import Mask, RgbaImage, RgbImage
from vision.codec.avif_boxes import find_box
from vision.compiled import compiled
from vision.formats import MAX_QUALITY

_SPEED: Final = 8
_EXACT_ALPHA: Final = {"alpha:lossless": "1"}
_STEP: Final = 20
_LARGE_PX: Final = 12_000_000
"""More than this is encoded alone."""
_ROOM: Final = 20.0
_FULL_RANGE: Final = 0x80
_SEQUENCE_HEADER: Final = 1
_one_large = threading.Lock()


def write_avif(image: RgbImage | RgbaImage, quality: int) -> bytes:
    """(H, W, 3) or (H, W, 4) uint8 straight alpha; colours are lossy in full resolution, alpha is exact."""
    out = BytesIO()
    is_large = image.shape[0] * image.shape[1] > _LARGE_PX
    with _one_large if is_large else nullcontext():
        # One thread: other outputs are encoded at the same time.
        Image.fromarray(image).save(
            out,
            "AVIF",
            codec="aom",
            quality=quality,
            speed=_SPEED,
            subsampling="4:4:4",
            max_threads=1,
            advanced=_EXACT_ALPHA,
        )
    return out.getvalue()


def write_avif_on(
    level: int, image: RgbImage, background: Mask, quality: int, progress: Callable[[], None]
) -> tuple[bytes, int]:
    """(H, W, 3) uint8 over white (`level` 255) or black (0), every pixel of `background` exactly that.

    Returns the file and the quality that this took: `quality`, 20 more, or 100. `progress` is called between encodings.
    """
    tried = quality
    shifted = np.empty(image.shape, np.uint8)
    _to_video_range(image, background, _ROOM if level else -_ROOM, shifted)
    while True:
        encoded = _as_video_range(write_avif(shifted, tried))
        if tried == MAX_QUALITY or (_decode(encoded)[background] == level).all():
            return encoded, tried
        progress()
        tried = min(quality + _STEP, MAX_QUALITY) if tried == quality else MAX_QUALITY


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(encoded), formats=("AVIF",)) as image:
        return np.asarray(image)


@compiled
def _to_video_range(image: RgbImage, background: Mask, room: float, shifted: RgbImage) -> None:
    """The RGB whose full-range YCbCr (BT.601) is the video-range YCbCr of `image`; `background` beyond it by `room`."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            red, green, blue = (image[y, x, 0] / 255.0, image[y, x, 1] / 255.0, image[y, x, 2] / 255.0)
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            level = 16.0 + 219.0 * luma + (room if background[y, x] else 0.0)
            from_red, from_blue = 224.0 * (red - luma), 224.0 * (blue - luma)
            from_green = -(0.299 * from_red + 0.114 * from_blue) / 0.587
            shifted[y, x, 0] = np.uint8(np.rint(min(max(level + from_red, 0.0), 255.0)))
            shifted[y, x, 1] = np.uint8(np.rint(min(max(level + from_green, 0.0), 255.0)))
            shifted[y, x, 2] = np.uint8(np.rint(min(max(level + from_blue, 0.0), 255.0)))


def _as_video_range(encoded: bytes) -> bytes:
    """The same file, said to be of video range."""
    out = bytearray(encoded)
    colour = find_box(encoded, b"meta", b"iprp", b"ipco", b"colr")
    flag = colour.start + len(b"nclx") + 6
    if out[colour.start : colour.start + 4] != b"nclx" or out[flag] != _FULL_RANGE:
        raise ValueError("not an AVIF of full range with an nclx box")
    out[flag] = 0
    at = _range_bit(encoded, find_box(encoded, b"mdat").start)
    out[at // 8] &= 0xFF ^ (0x80 >> at % 8)
    return bytes(out)


def _range_bit(encoded: bytes, at: int) -> int:
    """Place of color_range in the first sequence header, in bits (AV1 specification, 5.3 to 5.5)."""
    while (kind := encoded[at] >> 3 & 15) != _SEQUENCE_HEADER:
        size, at = _leb128(encoded, at + 1)
        at += size
        if not kind:
            raise ValueError("not an AV1 stream")
    _, at = _leb128(encoded, at + 1)
    bits = _Bits(encoded, 8 * at)
    profile, _, is_reduced = bits.take(3), bits.take(1), bits.take(1)
    if not is_reduced or profile != 1:
        raise ValueError("not a still picture in 4:4:4")
    bits.take(5)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    bits.take(width_bits + height_bits + 6)
    bits.take(1)  # high_bitdepth; profile 1 has no mono_chrome
    if bits.take(1):
        bits.take(24)
    return bits.at


class _Bits:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, count: int) -> int:
        """The next bits as a number."""
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self.at // 8] >> 7 - self.at % 8 & 1
            self.at += 1
        return value


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next byte is (AV1 specification, 4.10.5)."""
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:  # noqa: PLR2004
            return value, at
