"""BMPs written by hand."""

import struct
from collections.abc import Sequence

import numpy as np


def bmp(
    rows: Sequence[bytes] | bytes,
    wh: tuple[int, int],
    bits: int,
    *,
    header: int = 40,
    palette: np.ndarray | None = None,
    compression: int = 0,
    masks: Sequence[int] = (),
    top_down: bool = False,
    profile: bytes = b"",
    space: int = 0,
) -> bytes:
    """`rows` from the top, each as its bytes without padding; or ready data. `palette` (N, 3) RGB.

    `profile` stands at the end, and is named by a header of 124 bytes whose colour space `space` is 0x4D424544.
    """
    if isinstance(rows, bytes):
        pixels = rows
    else:
        padded = [row + bytes(-len(row) % 4) for row in rows]
        pixels = b"".join(padded if top_down else reversed(padded))
    colours = b""
    if palette is not None:
        colours = b"".join(bytes(colour[::-1]) + (b"" if header == 12 else b"\0") for colour in palette)
    if header == 12:
        head = struct.pack("<IHHHH", 12, *wh, 1, bits)
    else:
        height = -wh[1] if top_down else wh[1]
        count = 0 if palette is None else len(palette)
        head = struct.pack(
            "<IiiHHIIiiII", header, wh[0], height, 1, bits, compression, len(pixels), 2835, 2835, count, 0
        )
        head += struct.pack(f"<{len(masks)}I", *masks)
        head = head.ljust(header, b"\0")
    offset = 14 + len(head) + len(colours)
    if header == 124:
        end = struct.pack("<II", offset - 14 + len(pixels), len(profile))
        head = head[:56] + struct.pack("<I", space) + head[60:112] + end + head[120:]
    body = colours + pixels + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, offset) + head + body


def rle8(indices: np.ndarray) -> bytes:
    """Runs, and literal ones of three or more, from the bottom row up."""
    out = bytearray()
    for row in indices[::-1]:
        x = 0
        while x < len(row):
            end = x + 1
            while end < len(row) and row[end] == row[x] and end - x < 255:
                end += 1
            if end - x >= 2 or len(row) - x < 3:
                out += bytes((end - x, row[x]))
            else:
                end = min(len(row), x + 3)
                out += bytes((0, 3, *row[x:end], 0))
            x = end
        out += b"\0\0"
    return bytes(out + b"\0\1")


def rle4(indices: np.ndarray) -> bytes:
    out = bytearray()
    for row in indices[::-1]:
        for x in range(0, len(row), 2):
            pair = row[x : x + 2]
            out += bytes((len(pair), int(pair[0]) << 4 | int(pair[-1])))
        out += b"\0\0"
    return bytes(out + b"\0\1")
