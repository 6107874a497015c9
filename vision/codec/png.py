"""A PNG writer for 8 bit pixels, 16 bit mattes and palettes: one filter by numpy, deflate by ISA-L.

PNG (Third Edition, W3C 2025) sections 9.2 (filter type 2, Up), 10 (zlib stream), 11.2 (chunks), 11.3.2.5 (sRGB).
`docs/performance.md` has the figures of the encoders that were weighed. Both numpy and ISA-L let go of the
interpreter lock, so threads encode side by side.
"""

import struct
from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from vision.compiled import compiled

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}
_CHANNELS: Final = {value: key for key, value in _COLOUR_TYPES.items()}
_PALETTE: Final = 3
_NONE, _UP = 0, 2
_PERCEPTUAL: Final = b"\x00"
_LEVEL: Final = 1
_PALETTE_LEVEL: Final = 3
_STRIP_ROWS: Final = 64
_DEPTH_8, _DEPTH_16 = 8, 16

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


def write_png(pixels: Pixels) -> bytes:
    """Write a grey, RGB or RGBA PNG, tagged sRGB, without other metadata.

    (H, W) uint8 or uint16, (H, W, 3) or (H, W, 4) uint8.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]  # noqa: PLR2004
    # Samples of two bytes have the high one first (section 7.1).
    samples = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    rows = samples.view(np.uint8).reshape(height, -1)
    head = _head(width, height, 8 * pixels.itemsize, _COLOUR_TYPES[channels])
    return _file(head, (b"sRGB", _PERCEPTUAL), (b"IDAT", _deflate(rows, _UP, _LEVEL)))


def write_palette_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Write (H, W) uint8 into a palette (n, 4) uint8, straight RGBA, up to 256 entries; tagged sRGB.

    Entries that are not opaque come first, so that their alphas are few bytes (tRNS, section 11.3.1.1).
    """
    translucent = int((palette[:, 3] < 255).sum())  # noqa: PLR2004
    order = np.argsort(palette[:, 3] == 255, kind="stable")  # noqa: PLR2004
    place = np.empty(len(palette), np.uint8)
    place[order] = np.arange(len(palette))
    colours = palette[order]
    alphas = ((b"tRNS", colours[:translucent, 3].tobytes()),) if translucent else ()
    head = _head(indices.shape[1], indices.shape[0], _DEPTH_8, _PALETTE)
    body = _deflate(place[indices], _NONE, _PALETTE_LEVEL)
    return _file(head, (b"sRGB", _PERCEPTUAL), (b"PLTE", colours[:, :3].tobytes()), *alphas, (b"IDAT", body))


def read_png(encoded: bytes) -> Pixels:
    """Pixels of a file that `write_png` made, (H, W), (H, W, 3) or (H, W, 4). ValueError for any other file."""
    strips = list(read_strips(encoded))
    pixels: Pixels = np.concatenate(strips)  # type: ignore[assignment]  # of one type all
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def read_strips(encoded: bytes) -> Iterator[Pixels]:
    """The same from the top down, up to 64 rows (h, W, C) at a time: the check of an output never holds it whole.

    A palette's pixels come as (h, W, 4), or (h, W, 3) where all its colours are opaque.
    """
    width, height, depth, colour_type, *_, interlace = struct.unpack(">IIBBBBB", _body(encoded, b"IHDR"))
    channels = 1 if colour_type == _PALETTE else _CHANNELS.get(colour_type)
    if depth not in {_DEPTH_8, _DEPTH_16} or channels is None or interlace:
        raise ValueError("not a PNG of this writer")
    palette = _read_palette(encoded) if colour_type == _PALETTE else None
    row_bytes = width * channels * depth // 8
    filtering = _UP if palette is None else _NONE
    for rows in _read_rows(_body(encoded, b"IDAT"), height, row_bytes, filtering):
        if palette is not None:
            yield palette[rows]
        elif depth == _DEPTH_16:
            yield rows.view(">u2").astype(np.uint16).reshape(-1, width, channels)
        else:
            yield rows.reshape(-1, width, channels)


def _read_rows(part: bytes, height: int, row_bytes: int, filtering: int) -> Iterator[NDArray[np.uint8]]:
    inflate = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)
    above = np.zeros(row_bytes, np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        wanted = min(_STRIP_ROWS, height - top) * (row_bytes + 1)
        filtered = np.frombuffer(_inflate(inflate, part, wanted), np.uint8).reshape(-1, row_bytes + 1)
        part = b""
        if (filtered[:, 0] != filtering).any():
            raise ValueError("not a PNG of this writer")
        if filtering == _NONE:
            yield filtered[:, 1:]
            continue
        rows = np.empty((filtered.shape[0], row_bytes), np.uint8)
        _undo_up(filtered, above, rows)
        above = rows[-1]
        yield rows
    # The checksum at the end is read with, or after, the last row.
    if not inflate.eof and (_inflate(inflate, part, 0) or not inflate.eof):
        raise ValueError("damaged PNG")


def _read_palette(encoded: bytes) -> NDArray[np.uint8]:
    colours = np.frombuffer(_body(encoded, b"PLTE"), np.uint8).reshape(-1, 3)
    try:
        alphas = np.frombuffer(_body(encoded, b"tRNS"), np.uint8)
    except ValueError:
        return colours
    opacity = np.full(len(colours), 255, np.uint8)
    opacity[: len(alphas)] = alphas
    return np.column_stack([colours, opacity])


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


def _head(width: int, height: int, depth: int, colour_type: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)


def _file(*chunks: tuple[bytes, bytes]) -> bytes:
    return _SIGNATURE + b"".join(part for kind, body in (*chunks, (b"IEND", b"")) for part in _chunk(kind, body))


def _deflate(rows: NDArray[np.uint8], filtering: int, level: int) -> bytes:
    """Filter and compress in strips that stay in the cache; memory beyond the input is the output's."""
    deflate = isal_zlib.compressobj(level)
    above = np.zeros(rows.shape[1], np.uint8)
    parts: list[bytes] = []
    for top in range(0, rows.shape[0], _STRIP_ROWS):
        strip = rows[top : top + _STRIP_ROWS]
        filtered = np.empty((strip.shape[0], strip.shape[1] + 1), np.uint8)
        filtered[:, 0] = filtering
        if filtering == _UP:
            np.subtract(strip[0], above, out=filtered[0, 1:])
            np.subtract(strip[1:], strip[:-1], out=filtered[1:, 1:])
            above = strip[-1]
        else:
            filtered[:, 1:] = strip
        parts.append(deflate.compress(filtered))
    parts.append(deflate.flush())
    return b"".join(parts)
