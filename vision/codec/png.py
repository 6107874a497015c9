"""A PNG writer for 8 bit pixels: one filter by numpy, deflate by ISA-L.

PNG (Third Edition, W3C 2025) sections 9.2 (filter type 2, Up), 10 (zlib stream), 11.2 (chunks), 11.3.2.5 (sRGB).
`docs/performance.md` has the figures of the encoders that were weighed. Both numpy and ISA-L let go of the
interpreter lock, so threads encode side by side.
"""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from vision.compiled import compiled

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
    """Pixels of a file that `write_png` made, (H, W), (H, W, 3) or (H, W, 4) uint8. ValueError for any other file."""
    strips = list(read_strips(encoded))
    pixels: NDArray[np.uint8] = np.concatenate(strips)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def read_strips(encoded: bytes) -> Iterator[NDArray[np.uint8]]:
    """The same from the top down, up to 64 rows (h, W, C) at a time: the check of an output never holds it whole."""
    width, height, depth, colour_type, *_, interlace = struct.unpack(">IIBBBBB", _body(encoded, b"IHDR"))
    channels = {value: key for key, value in _COLOUR_TYPES.items()}.get(colour_type)
    if depth != 8 or channels is None or interlace:  # noqa: PLR2004
        raise ValueError("not a PNG of this writer")
    inflate = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
    part = _body(encoded, b"IDAT")
    row_bytes = width * channels
    above = np.zeros(row_bytes, np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        wanted = min(_STRIP_ROWS, height - top) * (row_bytes + 1)
        filtered = np.frombuffer(_inflate(inflate, part, wanted), np.uint8).reshape(-1, row_bytes + 1)
        part = b""
        if (filtered[:, 0] != _UP).any():
            raise ValueError("not a PNG of this writer")
        rows = np.empty((filtered.shape[0], row_bytes), np.uint8)
        _undo_up(filtered, above, rows)
        above = rows[-1]
        yield rows.reshape(-1, width, channels)
    # The checksum at the end is read with, or after, the last row.
    if not inflate.eof and (_inflate(inflate, part, 0) or not inflate.eof):
        raise ValueError("damaged PNG")


def _inflate(inflate: igzip_lib.IgzipDecompressor, part: bytes, wanted: int) -> bytes:
    """The next `wanted` bytes; `part` is the compressed whole at first and nothing after that."""
    try:
        found = inflate.decompress(part, wanted)
        while 0 < len(found) < wanted:
            more = inflate.decompress(b"", wanted - len(found))
            if not more:
                break
            found += more
    except (igzip_lib.IsalError, EOFError) as error:  # type: ignore[misc]  # its stub forgets the base class
        raise ValueError("damaged PNG") from error
    if len(found) != wanted:
        raise ValueError("damaged PNG")
    return found


@compiled
def _undo_up(filtered: NDArray[np.uint8], above: NDArray[np.uint8], rows: NDArray[np.uint8]) -> None:
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            rows[y, x] = filtered[y, x + 1] + (above[x] if y == 0 else rows[y - 1, x])


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
