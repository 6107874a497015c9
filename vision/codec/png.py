"""A PNG writer for 8 bit pixels: one filter by numpy, deflate by ISA-L.

PNG (Third Edition, W3C 2025) sections 9.2 (filter type 2, Up), 10 (zlib stream), 11.2 (chunks), 11.3.2.5 (sRGB).
`docs/performance.md` has the figures of the encoders that were weighed. Both numpy and ISA-L let go of the
interpreter lock, so threads encode side by side.
"""

import struct
from typing import Final

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}
_UP: Final = 2
_PERCEPTUAL: Final = b"\x00"
_LEVEL: Final = 1
_STRIP_ROWS: Final = 64


def write_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write (H, W), (H, W, 3) or (H, W, 4) uint8 as a grey, RGB or RGBA PNG, tagged sRGB, without other metadata."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]  # noqa: PLR2004
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.ascontiguousarray(pixels).reshape(height, width * channels)
    chunks = ((b"IHDR", head), (b"sRGB", _PERCEPTUAL), (b"IDAT", _deflate(rows)), (b"IEND", b""))
    return _SIGNATURE + b"".join(part for kind, body in chunks for part in _chunk(kind, body))


def read_png(encoded: bytes) -> NDArray[np.uint8]:
    """Pixels of a file that `write_png` made, (H, W), (H, W, 3) or (H, W, 4) uint8.

    For the check of each output: a general reader takes two and a half times as long. ValueError for any other file.
    """
    width, height, depth, colour_type, *_, interlace = struct.unpack(">IIBBBBB", _body(encoded, b"IHDR"))
    channels = {value: key for key, value in _COLOUR_TYPES.items()}.get(colour_type)
    if depth != 8 or channels is None or interlace:  # noqa: PLR2004
        raise ValueError("not a PNG of this writer")
    try:
        raw = isal_zlib.decompress(_body(encoded, b"IDAT"), bufsize=height * (width * channels + 1))
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub forgets the base class
        raise ValueError("damaged PNG") from error
    filtered = np.frombuffer(raw, np.uint8).reshape(height, width * channels + 1)
    if (filtered[:, 0] != _UP).any():
        raise ValueError("not a PNG of this writer")
    rows = np.empty((height, width * channels), np.uint8)
    above = np.zeros(width * channels, np.uint8)
    for place, row in enumerate(filtered[:, 1:]):
        above = np.add(row, above, out=rows[place])
    return rows.reshape((height, width) if channels == 1 else (height, width, channels))


def _body(encoded: bytes, kind: bytes) -> bytes:
    """Content of the first chunk of a kind."""
    at = len(_SIGNATURE)
    while at + 8 <= len(encoded):
        length = int.from_bytes(encoded[at : at + 4], "big")
        if encoded[at + 4 : at + 8] == kind:
            return encoded[at + 8 : at + 8 + length]
        at += 12 + length
    raise ValueError(f"no {kind.decode()} in this file")


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    crc = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return struct.pack(">I", len(body)), kind, body, struct.pack(">I", crc)


def _deflate(rows: NDArray[np.uint8]) -> bytes:
    """Filter and compress in strips that stay in the cache; memory beyond the input is the output's."""
    deflate = isal_zlib.compressobj(_LEVEL)
    above = np.zeros(rows.shape[1], np.uint8)
    parts: list[bytes] = []
    for top in range(0, rows.shape[0], _STRIP_ROWS):
        strip = rows[top : top + _STRIP_ROWS]
        filtered = np.empty((strip.shape[0], strip.shape[1] + 1), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(strip[0], above, out=filtered[0, 1:])
        np.subtract(strip[1:], strip[:-1], out=filtered[1:, 1:])
        above = strip[-1]
        parts.append(deflate.compress(filtered))
    parts.append(deflate.flush())
    return b"".join(parts)
