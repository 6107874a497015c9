"""TIFFs written tag by tag: TIFF 6.0, and BigTIFF."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, LAB = 1, 2, 3, 4, 5, 6, 8


def packbits(data: bytes) -> bytes:
    """Literal runs alone, which every reader takes."""
    return b"".join(bytes([len(part) - 1]) + part for part in (data[at : at + 128] for at in range(0, len(data), 128)))


def lzw(data: bytes) -> bytes:
    """Codes of 9 bits, high bit first, the table cleared before it grows out of them: no compression, but LZW."""
    bits = []
    for at in range(0, len(data), 250):
        bits += [f"{code:09b}" for code in (256, *data[at : at + 250])]
    text = "".join([*bits, f"{257:09b}"])
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


COMPRESS: Mapping[int, Callable[[bytes], bytes]] = {
    1: bytes,
    5: lzw,
    8: zlib.compress,
    32773: packbits,
    32946: zlib.compress,
}


@dataclass(frozen=True)
class Page:
    """One picture: (H, W) or (H, W, S) of uint8 or uint16, or of levels of fewer `bits`."""

    samples: np.ndarray
    photometric: int
    bits: int = 8
    compression: int = 1
    planar: int = 1
    rows_per_strip: int | None = None
    tile_hw: tuple[int, int] | None = None
    extra: Sequence[int] = ()
    orientation: int | None = None
    predictor: int = 1
    fill_order: int = 1
    more: Mapping[int, tuple[str, Any]] = field(default_factory=dict)


def tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """The file. Pages stand one behind the other, the pixels of each before its directory."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    out += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    link = len(out) - (8 if big else 4)
    for page in pages:
        directory, link_at = _page(page, order, len(out) + len(out) % 2, big=big)
        start = len(out) + len(out) % 2 + link_at[0]
        out += bytes(len(out) % 2)
        struct.pack_into(order + ("Q" if big else "I"), out, link, start)
        link = len(out) + link_at[1]
        out += directory
    return bytes(out)


def _page(page: Page, order: str, at: int, *, big: bool) -> tuple[bytes, tuple[int, int]]:
    """(bytes, (offset of the directory, offset of the link to the next) in them)."""
    samples = page.samples if page.samples.ndim == 3 else page.samples[..., None]
    height, width, count = samples.shape
    parts = [COMPRESS[page.compression](_packed(part, page, order)) for part in _parts(samples, page)]
    body, offsets = bytearray(), []
    for part in parts:
        offsets.append(at + len(body))
        body += part + bytes(len(part) % 2)
    tags: dict[int, tuple[str, Any]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [page.bits] * count),
        259: ("H", [page.compression]),
        262: ("H", [page.photometric]),
        266: ("H", [page.fill_order]),
        277: ("H", [count]),
        284: ("H", [page.planar]),
        317: ("H", [page.predictor]),
    }
    if page.tile_hw:
        tags |= {322: ("I", [page.tile_hw[1]]), 323: ("I", [page.tile_hw[0]])}
        tags |= {324: ("I", offsets), 325: ("I", [len(part) for part in parts])}
    else:
        tags |= {278: ("I", [page.rows_per_strip or height])}
        tags |= {273: ("I", offsets), 279: ("I", [len(part) for part in parts])}
    if page.extra:
        tags[338] = ("H", list(page.extra))
    if page.orientation is not None:
        tags[274] = ("H", [page.orientation])
    return _with_directory(bytes(body), tags | dict(page.more), order, at, big=big)


def _with_directory(
    body: bytes, tags: Mapping[int, tuple[str, Any]], order: str, at: int, *, big: bool
) -> tuple[bytes, tuple[int, int]]:
    kinds = {"B": 1, "s": 2, "H": 3, "I": 4, "b": 6, "U": 7, "h": 8, "f": 11, "d": 12}
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = bytes(values) if kind in "sU" else struct.pack(f"{order}{len(values)}{kind}", *values)
        field_bytes = 8 if big else 4
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kinds[kind], len(values))
        if len(packed) <= field_bytes:
            entries += packed.ljust(field_bytes, b"\0")
        else:
            entries += struct.pack(order + ("Q" if big else "I"), at + len(body))
            body += packed + bytes(len(packed) % 2)
    start = len(body)
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    whole = body + head + entries
    return whole + bytes(8 if big else 4), (start, len(whole))


def _parts(samples: np.ndarray, page: Page) -> list[np.ndarray]:
    """Strips or tiles, plane by plane where they are apart."""
    planes = [samples] if page.planar == 1 else [samples[..., n : n + 1] for n in range(samples.shape[2])]
    parts = []
    for plane in planes:
        height, width = plane.shape[:2]
        if page.tile_hw is None:
            rows = page.rows_per_strip or height
            parts += [plane[top : top + rows] for top in range(0, height, rows)]
            continue
        tile_height, tile_width = page.tile_hw
        for top in range(0, height, tile_height):
            for left in range(0, width, tile_width):
                tile = np.zeros((tile_height, tile_width, plane.shape[2]), plane.dtype)
                shown = plane[top : top + tile_height, left : left + tile_width]
                tile[: shown.shape[0], : shown.shape[1]] = shown
                parts.append(tile)
    return parts


def _packed(part: np.ndarray, page: Page, order: str) -> bytes:
    if page.bits == 16:
        if page.predictor == 2:
            part = np.concatenate([part[:, :1], np.diff(part.astype(np.int64), axis=1)], axis=1).astype(np.uint16)
        return part.astype(order + "u2").tobytes()
    if page.bits in {32, 64}:
        return part.astype(part.dtype.newbyteorder(order)).tobytes()
    if page.bits == 8:
        if page.predictor == 2:
            part = np.concatenate([part[:, :1], np.diff(part.astype(np.int64), axis=1)], axis=1).astype(np.uint8)
        return part.astype(np.uint8).tobytes()
    flat = part.reshape(part.shape[0], -1).astype(np.uint8)
    bits = (flat[..., None] >> np.arange(page.bits - 1, -1, -1)) & 1
    packed = np.packbits(bits.reshape(part.shape[0], -1).astype(np.uint8), axis=1)
    if page.fill_order == 2:
        packed = np.packbits(np.unpackbits(packed, axis=1).reshape(part.shape[0], -1, 8)[..., ::-1], axis=-1)
        packed = packed.reshape(part.shape[0], -1)
    return packed.tobytes()
