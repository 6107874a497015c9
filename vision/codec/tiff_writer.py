"""A TIFF writer: one picture, strips of deflate with horizontal differences, sRGB by its profile.

TIFF 6.0 (Aldus 1992): sections 2 (structure), 14 (differencing predictor), 18 (ExtraSamples: 2 is unassociated alpha);
Adobe's TIFF Technical Note 3 of 2002 (compression 8, zlib streams); ICC.1 annex B.4 (tag 34675).
"""

import struct
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import ImageCms

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

SHORT, LONG, UNDEFINED = 3, 4, 7
_SIZES: Final = {SHORT: 2, LONG: 4, UNDEFINED: 1}
ICC_TAG: Final = 34675
PIXEL_TAGS: Final = frozenset({256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 338, ICC_TAG})
"""Tags of a file by this writer; none of them holds anything but pixels or says how to read them."""
_DEFLATE, _DIFFERENCES, _CHUNKY, _STRAIGHT = 8, 2, 1, 2
_GREY, _RGB = 1, 2
_LEVEL: Final = 1
_STRIP_ROWS: Final = 64
_DATED: Final = slice(24, 36)
_STAMP: Final = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


@cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, always with the same bytes: Little CMS would write the time of day into it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATED] = _STAMP
    return bytes(profile)


def write_tiff(pixels: Pixels) -> bytes:
    """Write (H, W) uint8 or uint16, (H, W, 3) or (H, W, 4) uint8 straight alpha, as a little-endian TIFF."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]  # noqa: PLR2004
    strips = _strips(pixels.reshape(height, width, channels))
    tags: list[tuple[int, int, tuple[int, ...] | bytes]] = [
        (256, LONG, (width,)),
        (257, LONG, (height,)),
        (258, SHORT, (8 * pixels.itemsize,) * channels),
        (259, SHORT, (_DEFLATE,)),
        (262, SHORT, (_GREY if channels == 1 else _RGB,)),
        (273, LONG, (0,) * len(strips)),  # filled in below
        (277, SHORT, (channels,)),
        (278, LONG, (_STRIP_ROWS,)),
        (279, LONG, tuple(len(strip) for strip in strips)),
        (284, SHORT, (_CHUNKY,)),
        (317, SHORT, (_DIFFERENCES,)),
    ]
    if channels == 4:  # noqa: PLR2004
        tags.append((338, SHORT, (_STRAIGHT,)))
    if channels > 1:
        tags.append((ICC_TAG, UNDEFINED, srgb_profile()))
    head = _head(tags, 0)
    return b"".join((_head(tags, len(head)), *strips))


def _strips(pixels: Pixels) -> list[bytes]:
    """Rows of (H, W, C), 64 at a time, as zlib streams of differences to the pixel on the left."""
    made: list[bytes] = []
    for top in range(0, pixels.shape[0], _STRIP_ROWS):
        rows = pixels[top : top + _STRIP_ROWS]
        differences = np.diff(rows, axis=1, prepend=rows.dtype.type(0))
        made.append(isal_zlib.compress(differences.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes(), _LEVEL))
    return made


def _head(tags: list[tuple[int, int, tuple[int, ...] | bytes]], strips_at: int) -> bytes:
    """Header, directory and the values that do not fit into it, for strips that begin at `strips_at`."""
    behind = 8 + 2 + 12 * len(tags) + 4
    counts = next(values for tag, _, values in tags if tag == 279)  # noqa: PLR2004
    offsets = tuple(strips_at + sum(counts[:number]) for number in range(len(counts)))
    directory, values_behind = struct.pack("<H", len(tags)), b""
    for tag, kind, values in tags:
        known = offsets if tag == 273 else values  # noqa: PLR2004
        body = (
            known if isinstance(known, bytes) else struct.pack(f"<{len(known)}{'H' if kind == SHORT else 'I'}", *known)
        )
        directory += struct.pack("<HHI", tag, kind, len(body) // _SIZES[kind])
        if len(body) <= 4:  # noqa: PLR2004
            directory += body.ljust(4, b"\0")
            continue
        directory += struct.pack("<I", behind + len(values_behind))
        values_behind += body + b"\0" * (len(body) % 2)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + b"\0\0\0\0" + values_behind


def parts_of_tiff(encoded: bytes) -> list[str]:
    """Names of everything in a file of this writer that is not pixels: `tag N`, a second picture, bytes behind the end.

    Raises ValueError where the directory can't be read.
    """
    try:
        return _foreign(encoded)
    except (struct.error, IndexError) as error:
        raise ValueError("damaged TIFF") from error


def _foreign(encoded: bytes) -> list[str]:
    at: int = struct.unpack_from("<I", encoded, 4)[0]
    count: int = struct.unpack_from("<H", encoded, at)[0]
    arrays: dict[int, tuple[int, ...]] = {}
    found: list[str] = []
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length, offset = struct.unpack_from("<HHII", encoded, entry)
        if tag not in PIXEL_TAGS or (tag == ICC_TAG and encoded[offset : offset + length] != srgb_profile()):
            found.append(f"tag {tag}")
        if kind == LONG:
            place = entry + 8 if length == 1 else offset
            arrays[tag] = struct.unpack_from(f"<{length}I", encoded, place)
    if struct.unpack_from("<I", encoded, at + 2 + 12 * count)[0]:
        found.append("another picture")
    if len(encoded) != arrays[273][-1] + arrays[279][-1]:
        found.append("bytes behind the end")
    return found
