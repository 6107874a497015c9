"""Alpha apart from the colours: the mask alone, or a zip of `color.jpg` and `alpha.png`; checked after encoding."""

import zipfile
from io import BytesIO
from typing import Final

import numpy as np

from vision.arrays import Alpha, RgbImage
from vision.codec.encode import JPEG_QUALITY, OutputFormat, encode_jpeg, encode_matte
from vision.codec.png import read_png
from vision.codec.verify import foreign_parts
from vision.layers import bleed
from vision.numeric import alpha_to_uint8
from vision.output import BrokenPromiseError, check, render

BLACK: Final = (0, 0, 0)
COLOUR_FILE: Final = "color.jpg"
ALPHA_FILE: Final = "alpha.png"
_STAMP: Final = (1980, 1, 1, 0, 0, 0)  # the same photo gives the same bytes, whenever it is made


def make_mask(alpha: Alpha, *, format: OutputFormat, quality: int | None) -> bytes:  # noqa: A002
    """(H, W) alpha as a grey picture, 255 is product: an 8 bit grey PNG, or a JPEG or WebP of grey pixels."""
    if format == "png":
        encoded = encode_matte(alpha)
        _check_matte(encoded, alpha)
        return encoded
    white = np.full((*alpha.shape, 3), 255, np.uint8)
    encoded = render(white, alpha, format=format, background=BLACK, quality=quality)
    check(encoded, alpha, format=format, background=BLACK)
    return encoded


def make_zip(foreground: RgbImage, alpha: Alpha, *, quality: int | None) -> bytes:
    """`color.jpg`, the product's colours bled over the whole picture, and `alpha.png`: together they are the cutout."""
    nowhere = np.zeros(alpha.shape, np.bool_)
    colours = encode_jpeg(bleed(foreground, alpha), nowhere, quality=quality or JPEG_QUALITY)
    matte = encode_matte(alpha)
    if parts := foreign_parts(colours):
        raise BrokenPromiseError(f"{COLOUR_FILE} with foreign parts: {', '.join(parts)}")
    _check_matte(matte, alpha)
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, body in ((COLOUR_FILE, colours), (ALPHA_FILE, matte)):
            archive.writestr(zipfile.ZipInfo(name, _STAMP), body)
    return out.getvalue()


def _check_matte(encoded: bytes, alpha: Alpha) -> None:
    if foreign_parts(encoded) or not np.array_equal(read_png(encoded), alpha_to_uint8(alpha)):
        raise BrokenPromiseError("a mask that is not the alpha")
