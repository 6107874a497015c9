"""Pixels to files. No output carries EXIF, GPS, XMP or comments: only pixels go in.

All outputs are sRGB: PNG says so in 13 bytes, JPEG and WebP without a profile are read as sRGB everywhere.
The writers let go of the interpreter lock for most of their time, so threads encode side by side.
"""

from io import BytesIO
from typing import Final, Literal, TypeAlias

import numpy as np
from PIL import Image

from vision.arrays import Alpha, Mask, RgbaImage, RgbImage
from vision.codec.jpeg import write_jpeg
from vision.codec.png import write_png
from vision.numeric import alpha_to_uint8

OutputFormat: TypeAlias = Literal["png", "webp", "jpg"]

MEDIA_TYPES: Final[dict[OutputFormat, str]] = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}

JPEG_QUALITY: Final = 92
WEBP_QUALITY: Final = 90
_WEBP_EFFORT: Final = 1
_LEVELS: Final = 255


def encode_png(image: RgbImage | RgbaImage) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to PNG; lossless."""
    return write_png(image)


def encode_webp(image: RgbImage | RgbaImage, *, quality: int = WEBP_QUALITY) -> bytes:
    """(H, W, 3) or (H, W, 4) straight alpha, uint8, to lossy WebP; the alpha plane stays exact.

    Colour under alpha 0 is written as it is given (libwebp's `exact`), so that zeroed pixels stay black.
    """
    out = BytesIO()
    Image.fromarray(image).save(out, "WEBP", quality=quality, method=_WEBP_EFFORT, exact=True)
    return out.getvalue()


def encode_jpeg(image: RgbImage, background: Mask, *, quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8, flattened, to JPEG; pixels of `background` that are 255 or 0 decode exactly. See `jpeg`."""
    return write_jpeg(image, background, quality)


def encode_matte(alpha: Alpha) -> bytes:
    """(H, W) float32 in [0, 1] to an 8 bit grey PNG, rounded; 255 is product."""
    return write_png(alpha_to_uint8(alpha))


def decode_matte(encoded: bytes) -> Alpha:
    """A matte of `encode_matte`, from our own storage, back to (H, W) float32 in [0, 1]. Raises ValueError."""
    with Image.open(BytesIO(encoded), formats=("PNG",)) as image:
        if image.mode != "L":
            raise ValueError(f"a matte is an 8 bit grey PNG, not {image.mode}")
        return np.asarray(image).astype(np.float32) / np.float32(_LEVELS)
