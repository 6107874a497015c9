"""Bytes of a photo to upright sRGB pixels. Runs in the decoder processes, behind the header check."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.arrays import RgbImage
from vision.codec.bmff import without_exif
from vision.codec.colour import IccFact, to_srgb
from vision.codec.deep_png import BITS_AT
from vision.codec.header import BOMBS, PILLOW_NAMES, UNREADABLE, Animated, ImageHeader, Limits, orientation_of, probe
from vision.codec.heif import read_heif
from vision.codec.named_colours import profile_for
from vision.codec.planes import planes_of
from vision.codec.signature import InputFormat
from vision.codec.tiff_samples import read_samples
from vision.errors import ImageError

AlphaPlane: TypeAlias = NDArray[np.uint8]
"""(H, W) uint8; 255 is opaque."""
Allocate: TypeAlias = Callable[[tuple[int, ...]], NDArray[np.uint8]]

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP_ROWS: Final = 128
_IN_EXIF: Final = frozenset({"jpeg", "png", "webp"})
"""Formats whose orientation stands in their EXIF."""
_TURNED_BY_THEIR_READER: Final = frozenset({"tiff", "heif"})


@dataclass(frozen=True)
class DecodeFacts:
    """What was found in the file. `bits` of a channel; `icc`: see `vision.codec.colour.IccFact`."""

    format: InputFormat
    mode: str
    bits: int
    orientation: int
    icc: IccFact


@dataclass(frozen=True)
class Decoded:
    """`image` (H, W, 3) uint8 sRGB, upright; `alpha` (H, W) uint8, or None where every pixel is opaque."""

    image: RgbImage
    alpha: AlphaPlane | None
    facts: DecodeFacts


def _empty(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.empty(shape, np.uint8)


def decode(data: bytes, limits: Limits, allocate: Allocate = _empty, animated: Animated = "refuse") -> Decoded:
    """Decode a photo to sRGB, cropped and turned as it says.

    `allocate(shape)` gives the memory that the pixels are written to: (H, W, 3), then (H, W) if there is alpha.
    Colour under alpha 0 is left as the file has it.

    Raises ImageError: the codes of `probe`; failed_to_read_image where the pixels are cut off or damaged.
    """
    header = probe(data, limits, animated=animated)
    try:
        colour, alpha, facts = _reader_of(header)(data, header)
    except BOMBS as error:
        raise ImageError("resolution_too_high", "The file holds far more pixels than its header claims.") from error
    except UNREADABLE as error:
        detail = f"The {header.format} file is damaged or cut off."
        raise ImageError("failed_to_read_image", detail) from error
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    is_turned = header.format in _TURNED_BY_THEIR_READER and not header.by_samples
    turn = 1 if is_turned else facts.orientation
    return Decoded(
        image=_pixels(_turn(colour, turn), allocate),
        alpha=None if alpha is None else _pixels(_turn(alpha, turn), allocate),
        facts=facts,
    )


_Read: TypeAlias = tuple[Image.Image, Image.Image | None, DecodeFacts]


def _reader_of(header: ImageHeader) -> Callable[[bytes, ImageHeader], _Read]:
    if header.by_samples:
        return _read_tiff_samples
    return _read_heif if header.format == "heif" else _read


def _read(data: bytes, header: ImageHeader) -> _Read:
    """By Pillow, as fast as OpenCV on a 12 MP JPEG; and it says when data is cut off, where OpenCV returns grey."""
    file = without_exif(data) if header.format == "avif" else data
    with Image.open(BytesIO(file), formats=(PILLOW_NAMES[header.format],)) as image:
        image.info.pop("xmp", None)  # Pillow would turn a TIFF by it, too
        expected = header.upright_hw if header.format == "tiff" else header.coded_hw
        if (image.height, image.width) != expected:
            raise ValueError("Pillow reads another size than the header claims")
        image.load()
        colour, alpha = planes_of(image, header, data)
        colour, icc = to_srgb(colour, profile_for(image.info, header, data))
        # Again, as the pixels have been read now: a PNG may keep its EXIF behind them.
        orientation = orientation_of(image) if header.format in _IN_EXIF else header.orientation
        bits = data[BITS_AT] if header.format == "png" else header.bits
        facts = DecodeFacts(header.format, image.mode, bits, orientation, icc)
    if header.crop is not None:
        box = header.crop[:4]
        colour, alpha = colour.crop(box), None if alpha is None else alpha.crop(box)
    return colour, alpha, facts


def _read_heif(data: bytes, header: ImageHeader) -> _Read:
    picture, icc_profile = read_heif(data, header.upright_hw)
    colour, alpha = planes_of(picture, header, data)
    colour, icc = to_srgb(colour, profile_for({"icc_profile": icc_profile}, header, data))
    return colour, alpha, DecodeFacts(header.format, picture.mode, header.bits, header.orientation, icc)


def _read_tiff_samples(data: bytes, header: ImageHeader) -> _Read:
    stored, alpha, icc_profile = read_samples(data, is_inverted=header.is_inverted)
    mode = stored.mode if alpha is None else f"{stored.mode}A"
    colour, icc = to_srgb(stored, icc_profile)
    return colour, alpha, DecodeFacts(header.format, mode, header.bits, header.orientation, icc)


def _turn(plane: Image.Image, orientation: int) -> Image.Image:
    return plane if orientation == 1 else plane.transpose(_UPRIGHT[orientation])


def _pixels(plane: Image.Image, allocate: Allocate) -> NDArray[np.uint8]:
    """Copy out of Pillow in strips that stay in the cache: half the time and memory of one np.asarray."""
    out = allocate((plane.height, plane.width, 3) if plane.mode == "RGB" else (plane.height, plane.width))
    for top in range(0, plane.height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, plane.height)
        out[top:bottom] = np.asarray(plane.crop((0, top, plane.width, bottom)))
    return out
