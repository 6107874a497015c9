"""Alpha apart from the colours: the mask alone, or a zip of `color.jpg` and `alpha.png`; checked after encoding."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

from vision.arrays import Alpha, RgbImage
from vision.codec.encode import DEEP, encode_jpeg, encode_matte
from vision.codec.parts import foreign_parts
from vision.codec.png import Pixels, read_png
from vision.codec.tiff_writer import write_tiff
from vision.fitting import Encoded, fit, idle, within
from vision.formats import FORMATS
from vision.layers import bleed
from vision.numeric import alpha_to_uint8, alpha_to_uint16
from vision.output import BrokenPromiseError, Encoding, check, render

BLACK: Final = (0, 0, 0)
COLOUR_FILE: Final = "color.jpg"
ALPHA_FILE: Final = "alpha.png"
_STAMP: Final = (1980, 1, 1, 0, 0, 0)  # the same photo gives the same bytes, whenever it is made


def make_mask(alpha: Alpha, encoding: Encoding, *, depth: int = 8) -> Encoded:
    """(H, W) alpha as a grey picture; 255 is product, or 65535 with `depth` 16.

    PNG and TIFF of one channel, exact; JPEG, WebP and AVIF, of 8 bits, as three equal channels. `ImageError`
    `output_too_large`.
    """
    if encoding.format in {"png", "png8", "tiff"}:
        encoded = write_tiff(_levels(alpha, depth)) if encoding.format == "tiff" else encode_matte(alpha, depth=depth)
        _check_matte(encoded, _levels(alpha, depth))
        return within(encoded, encoding.max_bytes)
    white = np.full((*alpha.shape, 3), 255, np.uint8)
    made = render(white, alpha, encoding, background=BLACK)
    check(made.file, alpha, encoding, background=BLACK)
    return made


def make_zip(
    foreground: RgbImage,
    alpha: Alpha,
    *,
    quality: int | None = None,
    max_bytes: int | None = None,
    depth: int = 8,
    progress: Callable[[], None] = idle,
) -> Encoded:
    """`color.jpg`, the product's colours bled over the whole picture, and `alpha.png`: together they are the cutout.

    `quality`, `max_bytes` and `progress` as in `Encoding`, the bytes of the zip; `depth` of the alpha, 8 or 16.
    """
    nowhere = np.zeros(alpha.shape, np.bool_)
    bled = bleed(foreground, alpha)
    matte = encode_matte(alpha, depth=depth)
    _check_matte(matte, _levels(alpha, depth))

    def pack(level: int) -> Encoded:
        return Encoded(_zip(encode_jpeg(bled, nowhere, quality=level), matte), level)

    made = fit(pack, most=quality or FORMATS["zip"].quality or 0, max_bytes=max_bytes, progress=progress)
    with zipfile.ZipFile(BytesIO(made.file)) as archive:
        if parts := foreign_parts(archive.read(COLOUR_FILE)):
            raise BrokenPromiseError(f"{COLOUR_FILE} with foreign parts: {', '.join(parts)}")
    return made


def _zip(colours: bytes, matte: bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, body in ((COLOUR_FILE, colours), (ALPHA_FILE, matte)):
            archive.writestr(zipfile.ZipInfo(name, _STAMP), body)
    return out.getvalue()


def _levels(alpha: Alpha, depth: int) -> Pixels:
    return alpha_to_uint16(alpha) if depth == DEEP else alpha_to_uint8(alpha)


def _check_matte(encoded: bytes, levels: Pixels) -> None:
    if foreign_parts(encoded) or not np.array_equal(_read_grey(encoded), levels):
        raise BrokenPromiseError("a mask that is not the alpha")


def _read_grey(encoded: bytes) -> Pixels:
    if not encoded.startswith(b"II"):
        return read_png(encoded)
    with Image.open(BytesIO(encoded), formats=("TIFF",)) as image:
        return np.asarray(image)
