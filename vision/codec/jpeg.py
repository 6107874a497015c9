"""JPEG whose flat background keeps its exact colour, white up to the product's very edge.

JPEG rings: in a block of 8 x 8 pixels that holds an edge, rounding the frequencies leaves white at 250 here and 260
there. What lies above 255 is cut off by every decoder, what lies below is a grey speck that marketplaces refuse. So
white next to the product is written brighter than white (and black darker than black), and the ringing stays beyond
the cut; the idea is mozjpeg's "overshoot deringing". Two things make it work with plain libjpeg:

- It takes no samples above 255. The picture is stored at half its contrast with quantisation tables of half the step,
  then the steps written in the file are doubled (ITU-T T.81, B.2.4.1): decoders multiply by them, and full contrast
  comes back with room from -128 to 382. Rounding the input to half steps costs less than the quantisation does.
- With luma and chroma the cut would come before the colours are mixed, and the chroma's ringing would still tint the
  white. So the three channels are stored as R, G and B (component ids R, G, B and Adobe's marker, transform 0, which
  libjpeg, browsers and picture editors follow). Colours keep sharper edges, and flat ones are not rounded on the way
  through YCbCr; the file is about twice as large as with YCbCr at the same quality number, and better.

Half steps would put odd levels off by one, so a background that has other levels than 255 and 0 is stored at full
contrast, without the room.
"""

from io import BytesIO
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.arrays import Mask, RgbImage

Plane = TypeVar("Plane", bound=NDArray[Any])

_BLOCK: Final = 8
_WHITE: Final = 255
_FIRST_MARGIN: Final = 12
_MAX_MARGIN: Final = 60
_ROUNDS: Final = 4
_DQT: Final = 0xDB
_SOS: Final = 0xDA
_TABLE_BYTES: Final = 64

# Level v at half contrast; 128 + 2 * (half - 128) comes back, cut to 0..255.
_HALF: Final = np.rint(np.arange(256) / 2 + 64).astype(np.uint8)


def write_jpeg(image: RgbImage, background: Mask, quality: int) -> bytes:
    """Baseline JPEG, full colour resolution, no metadata.

    `background` are the pixels of one flat colour. Where its channels are all 255 or 0 (white above all), each of
    these pixels comes back exactly. Other colours, such as a light grey, are exact in blocks that are all background
    (from quality 80 on), and ring beside the product as in any JPEG.
    """
    colour = image.reshape(-1, 3)[np.argmax(background)]
    if background.any() and np.isin(colour, (0, 255)).all():
        return _write_with_room(image, background, quality)
    return _save(image, quality=quality)


def _write_with_room(image: RgbImage, background: Mask, quality: int) -> bytes:
    """Write background beyond 255 and 0, and blocks that do not come out right again with more room.

    Verify what comes back (`vision.codec.verify`): nothing proves that four rounds are enough for every picture.
    """
    height, width = background.shape
    table = _half_table(quality)
    half = _padded(_HALF[image])
    ground = _padded(background)
    by, bx = np.nonzero(_blocks_any(ground) & _blocks_any(~ground))
    levels = _as_blocks(_padded(image))[by, :, bx]
    behind = _as_blocks(ground)[by, :, bx][..., None]
    outwards = np.where(behind, np.where(levels == _WHITE, 1, -1), 0)
    margin = np.full((len(by), 1, 1, 1), _FIRST_MARGIN, np.int16)
    encoded = b""
    for _ in range(_ROUNDS):
        _as_blocks(half)[by, :, bx] = (_HALF[levels] + outwards * margin).astype(np.uint8)
        encoded = _double_steps(_save(half[:height, :width], qtables=[table]))
        back = _as_blocks(_padded(_decode(encoded)))[by, :, bx]
        wrong = (behind & (back != levels)).any(axis=(1, 2, 3))
        if not wrong.any():
            break
        margin[wrong] = np.minimum(margin[wrong] * 2, _MAX_MARGIN)
    return encoded


def _save(image: RgbImage, **options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, "JPEG", subsampling=0, keep_rgb=True, **options)
    return out.getvalue()


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(encoded), formats=("JPEG",)) as image:
        return np.asarray(image)


def _half_table(quality: int) -> list[int]:
    """The table that libjpeg uses at this quality, halved."""
    sample = _save(np.zeros((_BLOCK, _BLOCK, 3), np.uint8), quality=quality)
    with Image.open(BytesIO(sample), formats=("JPEG",)) as image:
        tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]
    return [max(1, step // 2) for step in tables[0]]


def _double_steps(encoded: bytes) -> bytes:
    """Double each step of the 8 bit quantisation tables in the file's head."""
    out = bytearray(encoded)
    at = 2
    while out[at + 1] != _SOS:
        length = int.from_bytes(out[at + 2 : at + 4], "big")
        if out[at + 1] == _DQT:
            for table in range(at + 4, at + 2 + length, _TABLE_BYTES + 1):
                steps = slice(table + 1, table + 1 + _TABLE_BYTES)
                out[steps] = bytes(2 * step for step in out[steps])
        at += 2 + length
    return bytes(out)


def _padded(plane: Plane) -> Plane:
    """(H, W, ...) filled up to whole blocks as libjpeg does it, by repeating the last row and column."""
    fill = [(0, -side % _BLOCK) for side in plane.shape[:2]] + [(0, 0)] * (plane.ndim - 2)
    return np.pad(plane, fill, mode="edge") if any(after for _, after in fill) else plane  # type: ignore[return-value]


def _as_blocks(plane: NDArray[Any]) -> NDArray[Any]:
    """A view (rows of blocks, 8, columns of blocks, 8, ...) of (H, W, ...)."""
    height, width, *rest = plane.shape
    return plane.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK, *rest)


def _blocks_any(mask: Mask) -> Mask:
    """(H, W) of whole blocks to (H / 8, W / 8): whether any pixel of the block is set. Eight at a time as one word."""
    words = np.ascontiguousarray(mask).view(np.uint64).reshape(-1, _BLOCK, mask.shape[1] // _BLOCK)
    some: Mask = np.bitwise_or.reduce(words, axis=1) != 0
    return some
