"""Pictures of 50 megapixels, of every format and of the kinds that take most memory, in small files."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pillow_heif
from PIL import Image

from tests.corpus.bmffs import coded, grid
from tests.corpus.bmps import bmp
from tests.corpus.tiffs import Page, tiff
from tests.photo_files import raw_png, save

HW = (7_056, 7_056)
TILE_PX = 504


def smooth(channels: int, dtype: type = np.uint8) -> np.ndarray:
    """(H, W, channels) of ramps, which every codec packs into few bytes."""
    y, x = np.ogrid[0 : HW[0], 0 : HW[1]]
    most = np.iinfo(dtype).max
    planes = [(x * most // HW[1]), (y * most // HW[0]), ((x + y) * (most // 4) // HW[0]), (most - x * most // HW[1])]
    out = np.empty((*HW, channels), dtype)
    for number in range(channels):
        out[..., number] = planes[number]
    return out


def tiles(kind: bytes) -> bytes:
    """A grid of the same tile, again and again."""
    tile = coded(np.full((TILE_PX, TILE_PX, 3), (200, 120, 40), np.uint8), kind)
    side = HW[0] // TILE_PX
    return grid([tile] * side**2, side, side, HW)


def empty_tiff(bits: int, photometric: int, channels: int, extra: tuple[int, ...] = ()) -> bytes:
    """Zeros in one deflated strip: a thousand bytes of memory for one of the file."""
    one = Page(np.zeros((1, 1, channels), np.uint16), photometric, bits=bits, compression=8, extra=extra)
    packer = zlib.compressobj(1)
    rows = bytes(HW[1] * channels * bits // 8 * 64)
    body = b"".join(packer.compress(rows) for _ in range(-(-HW[0] // 64))) + packer.flush()
    small = tiff(one)
    at = len(small) + len(small) % 2
    patched = tiff(
        Page(one.samples, photometric, bits=bits, compression=8, extra=extra, more={
            256: ("I", [HW[1]]), 257: ("I", [HW[0]]), 278: ("I", [HW[0]]), 273: ("I", [at]), 279: ("I", [len(body)]),
        })
    )  # fmt: skip
    return patched.ljust(at, b"\0") + body


def runs() -> bytes:
    """A BMP of run lengths."""
    row = b"\xff\x05" * (HW[1] // 255) + bytes((HW[1] % 255, 5)) + b"\0\0"
    palette = np.arange(768).reshape(256, 3) % 251
    return bmp(row * HW[0] + b"\0\1", (HW[1], HW[0]), 8, compression=1, palette=palette.astype(np.uint8))


def deep_png() -> bytes:
    """16 bits of red, green, blue and alpha."""
    row = b"\0" + struct.pack(">4H", 1000, 30_000, 60_000, 40_000) * HW[1]
    return raw_png((HW[1], HW[0]), 16, 6, row * HW[0])


def heif(channels: int) -> bytes:
    out = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth(channels))).save(out, quality=60)
    return out.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "TIFF of 16 bit RGBA in one strip": lambda: empty_tiff(16, 2, 4, (2,)),
    "TIFF of 16 bit CMYK with alpha": lambda: empty_tiff(16, 5, 5, (2,)),
    "GIF": lambda: save(Image.new("P", (HW[1], HW[0]), 3), "GIF"),
    "HEIF of 196 tiles": lambda: tiles(b"hvc1"),
    "AVIF of 196 tiles": lambda: tiles(b"av01"),
    "BMP of run lengths": runs,
}
"""Those that take no time to make."""

PHOTOS: dict[str, Callable[[], bytes]] = {
    **BOMBS,
    "TIFF of CMYK in one strip": lambda: empty_tiff(8, 5, 4),
    "TIFF of CMYK with alpha": lambda: empty_tiff(8, 5, 5, (2,)),
    "TIFF of 16 bit RGB, premultiplied": lambda: empty_tiff(16, 2, 4, (1,)),
    "JPEG": lambda: save(smooth(3), "JPEG"),
    "JPEG, progressive": lambda: save(smooth(3), "JPEG", progressive=True),
    "JPEG, CMYK": lambda: save(Image.fromarray(smooth(4), "CMYK"), "JPEG"),
    "PNG": lambda: save(smooth(3), "PNG", compress_level=1),
    "PNG of RGBA": lambda: save(smooth(4), "PNG", compress_level=1),
    "PNG of 16 bit RGBA": deep_png,
    "WebP": lambda: save(smooth(3), "WEBP", method=0),
    "WebP with alpha": lambda: save(smooth(4), "WEBP", method=0),
    "TIFF, LZW": lambda: save(smooth(3), "TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": lambda: save(smooth(3), "TIFF", compression="jpeg"),
    "TIFF, turned": lambda: save(smooth(4), "TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
    "AVIF": lambda: save(smooth(3), "AVIF", speed=10, quality=50),
    "AVIF with alpha": lambda: save(smooth(4), "AVIF", speed=10, quality=50),
    "HEIF": lambda: heif(3),
    "HEIF with alpha": lambda: heif(4),
}
