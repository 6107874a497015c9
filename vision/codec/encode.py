"""Pixels to files. No output carries EXIF, GPS, XMP or comments: only pixels go in.

All outputs are sRGB: PNG says so in 13 bytes, AVIF in its `nclx` box, TIFF by a profile; JPEG and WebP without a
profile are read as sRGB everywhere. The writers let go of the interpreter lock for most of their time, so threads
encode side by side.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

from vision.arrays import Alpha, Mask, RgbaImage, RgbImage
from vision.codec.avif import write_avif, write_avif_on
from vision.codec.jpeg import write_jpeg
from vision.codec.palette import quantise
from vision.codec.png import read_png, write_palette_png, write_png
from vision.codec.tiff_writer import write_tiff
from vision.fitting import idle
from vision.formats import FORMATS
from vision.numeric import alpha_to_uint8, alpha_to_uint16

JPEG_QUALITY: Final = FORMATS["jpg"].quality or 0
WEBP_QUALITY: Final = FORMATS["webp"].quality or 0
_WEBP_EFFORT: Final = 1
_WEBP_LOSSLESS: Final = {"quality": 20, "method": 1}
"""Of a lossless file `quality` is the effort of the search, not what is lost."""
_LEVELS_16: Final = 65535
DEEP: Final = 16
"""Bits of a fine matte; the other depth is 8."""
AVIF_EXACT: Final = ((255, 255, 255), (0, 0, 0))
"""Backgrounds that an AVIF gives back exactly."""


def encode_png(image: RgbImage | RgbaImage) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to PNG; lossless."""
    return write_png(image)


def encode_png8(image: RgbImage | RgbaImage, background: Mask) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to a PNG of 256 colours; `background` is exact. See `palette`."""
    if image.shape[2] == 3:  # noqa: PLR2004
        image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return write_palette_png(*quantise(image, background))


def encode_webp(image: RgbImage | RgbaImage, *, quality: int = WEBP_QUALITY) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to lossy WebP; the alpha plane stays exact.

    Colour under alpha 0 is written as it is given (libwebp's `exact`), so that zeroed pixels stay black.
    """
    out = BytesIO()
    Image.fromarray(image).save(out, "WEBP", quality=quality, method=_WEBP_EFFORT, exact=True)
    return out.getvalue()


def encode_webp_lossless(image: RgbImage | RgbaImage) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to lossless WebP: every pixel comes back, under alpha 0 too."""
    out = BytesIO()
    Image.fromarray(image).save(out, "WEBP", lossless=True, exact=True, **_WEBP_LOSSLESS)
    return out.getvalue()


def encode_jpeg(image: RgbImage, background: Mask, *, quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8, flattened, to JPEG; pixels of `background` that are 255 or 0 decode exactly. See `jpeg`."""
    return write_jpeg(image, background, quality)


def encode_avif(
    image: RgbImage | RgbaImage, background: Mask, *, quality: int, progress: Callable[[], None] = idle
) -> tuple[bytes, int]:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to AVIF, and the quality that it took.

    Alpha is exact, and so are pixels of `background` that are white or black; for them the quality may be raised. See
    `avif`. `progress` is called between its encodings.
    """
    colour = tuple(int(level) for level in image.reshape(-1, image.shape[2])[np.argmax(background)])
    if background.any() and colour in AVIF_EXACT:
        return write_avif_on(colour[0], image, background, quality, progress)
    return write_avif(image, quality), quality


def encode_tiff(image: RgbImage | RgbaImage) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to TIFF with deflate; lossless."""
    return write_tiff(image)


def encode_matte(alpha: Alpha, *, depth: int = DEEP) -> bytes:
    """(H, W) float32 in [0, 1] to a grey PNG of 8 or 16 bits, rounded; 255, or 65535, is product."""
    return write_png(alpha_to_uint16(alpha) if depth == DEEP else alpha_to_uint8(alpha))


def decode_matte(encoded: bytes) -> Alpha:
    """A matte of `encode_matte`, 16 bits, from our own storage, back to (H, W) float32 in [0, 1]. Raises ValueError."""
    levels = read_png(encoded)
    if levels.dtype != np.uint16:
        raise ValueError("a stored matte is a 16 bit grey PNG")
    return levels.astype(np.float32) / np.float32(_LEVELS_16)
