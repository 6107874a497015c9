"""GIFs written by hand."""

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """(h, w) indices at (top, left)."""

    indices: np.ndarray
    top_left: tuple[int, int] = (0, 0)
    transparent: int | None = None
    palette: np.ndarray | None = None
    is_interlaced: bool = False


def gif(frames: list[Frame], hw: tuple[int, int], palette: np.ndarray | None, *, background: int = 0) -> bytes:
    """`palette` (256, 3)."""
    flags = 0xF7 if palette is not None else 0
    out = b"GIF89a" + struct.pack("<HHBBB", hw[1], hw[0], flags, background, 0)
    out += b"" if palette is None else palette.astype(np.uint8).tobytes()
    for frame in frames:
        if frame.transparent is not None or len(frames) > 1:
            out += struct.pack(
                "<BBBBHBB", 0x21, 0xF9, 4, int(frame.transparent is not None), 10, frame.transparent or 0, 0
            )
        (top, left), (height, width) = frame.top_left, frame.indices.shape
        local = 0x87 if frame.palette is not None else 0
        out += struct.pack("<BHHHHB", 0x2C, left, top, width, height, local | (0x40 if frame.is_interlaced else 0))
        out += b"" if frame.palette is None else frame.palette.astype(np.uint8).tobytes()
        out += lzw(_ordered(frame))
    return out + b";"


def lzw(data: bytes) -> bytes:
    """Codes of 9 bits, low bit first, the table cleared before it grows out of them."""
    value = length = 0
    for at in range(0, len(data), 250):
        for code in (256, *data[at : at + 250]):
            value |= code << length
            length += 9
    value |= 257 << length
    packed = value.to_bytes(-(-(length + 9) // 8), "little")
    blocks = [packed[at : at + 255] for at in range(0, len(packed), 255)]
    return b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def _ordered(frame: Frame) -> bytes:
    rows = frame.indices.astype(np.uint8)
    if frame.is_interlaced:
        rows = np.concatenate([rows[0::8], rows[4::8], rows[2::4], rows[1::2]])
    return rows.tobytes()
