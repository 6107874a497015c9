"""AVIF and HEIF files put together box by box around coded pictures, with the properties that a test wants."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from itertools import accumulate

import numpy as np
import pillow_heif
from PIL import Image

CODEC_BRANDS = {b"av01": b"avif", b"hvc1": b"heic"}


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big"), *parts)


def ispe(hw: tuple[int, int]) -> bytes:
    return full(b"ispe", struct.pack(">II", hw[1], hw[0]))


def irot(quarters: int) -> bytes:
    return box(b"irot", bytes([quarters]))


def imir(axis: int) -> bytes:
    return box(b"imir", bytes([axis]))


def clap(hw: tuple[int, int], left: int, top: int, right: int, bottom: int) -> bytes:
    """The part from (left, top) to (right, bottom), by its size and twice the offset of its centre over 2."""
    width, height = right - left, bottom - top
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, left + right - hw[1], 2, top + bottom - hw[0], 2))


def nclx(primaries: int, transfer: int, matrix: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


def prof(icc: bytes) -> bytes:
    return box(b"colr", b"prof", icc)


@dataclass(frozen=True)
class Coded:
    """A coded picture: its codec, its data, and the boxes that describe it; no turns, no crop, no colours."""

    kind: bytes
    data: bytes
    hw: tuple[int, int]
    boxes: tuple[bytes, ...]

    @property
    def matrix(self) -> int:
        """Of H.273, with which it is coded."""
        return 0 if self.kind == b"hvc1" else 6


def coded(image: np.ndarray, kind: bytes) -> Coded:
    """AV1 at its best quality, or lossless HEVC, 4:4:4; grey is monochrome."""
    return _coded(image.tobytes(), image.shape, kind)


@cache
def _coded(pixels: bytes, shape: tuple[int, ...], kind: bytes) -> Coded:
    image = Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(shape))
    out = BytesIO()
    if kind == b"av01":
        image.save(out, "AVIF", quality=100, subsampling="4:4:4", speed=9)
    elif image.mode == "L":
        pillow_heif.from_pillow(image).save(out, quality=-1)
    else:
        pillow_heif.from_pillow(image).save(out, quality=-1, chroma=444, matrix_coefficients=0)
    file = out.getvalue()
    meta = _find(file, b"meta")[4:]
    described = _find(_find(meta, b"iprp"), b"ipco")
    kept = tuple(part for part in _boxes(described) if part[4:8] in {b"av1C", b"hvcC", b"pixi", b"ispe"})
    return Coded(kind, _find(file, b"mdat"), shape[:2], kept)


def _boxes(body: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big") or len(body) - at
        found.append(body[at : at + size])
        at += size
    return found


def _find(body: bytes, kind: bytes) -> bytes:
    return next(part[8:] for part in _boxes(body) if part[4:8] == kind)


@dataclass(frozen=True)
class Item:
    """`kind` of the item, its data, its properties in their order; `refers`: what it is to which items."""

    kind: bytes
    data: bytes
    properties: Sequence[bytes]
    refers: Sequence[tuple[bytes, Sequence[int]]] = field(default_factory=tuple)


def bmff(items: Sequence[Item], *, brand: bytes, primary: int = 1, extra: bytes = b"") -> bytes:
    """The file; items are numbered from 1. Data that is the same for several items is stored once."""
    bodies = list(dict.fromkeys(item.data for item in items))
    properties: list[bytes] = []
    associations = b""
    for number, item in enumerate(items, 1):
        numbers = b""
        for prop in item.properties:
            if prop not in properties:
                properties.append(prop)
            numbers += bytes([0x80 | properties.index(prop) + 1])
        associations += struct.pack(">HB", number, len(item.properties)) + numbers
    ftyp = box(b"ftyp", brand, bytes(4), brand, b"mif1", b"miaf")
    infes = b"".join(
        full(b"infe", struct.pack(">HH", number, 0), item.kind, b"\0", version=2)
        for number, item in enumerate(items, 1)
    )
    references = b"".join(
        box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to))
        for number, item in enumerate(items, 1)
        for kind, to in item.refers
    )

    def meta(start: int) -> bytes:
        starts = dict(zip(bodies, accumulate((len(body) for body in bodies), initial=start), strict=False))
        places = b"".join(
            struct.pack(">HHHII", number, 0, 1, starts[item.data], len(item.data))
            for number, item in enumerate(items, 1)
        )
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", primary)),
            full(b"iloc", b"\x44\x00", struct.pack(">H", len(items)), places),
            full(b"iinf", struct.pack(">H", len(items)), infes),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", struct.pack(">I", len(items)), associations)),
            full(b"iref", references) if references else b"",
        )

    start = len(ftyp) + len(meta(0)) + len(extra) + 8
    return ftyp + meta(start) + extra + box(b"mdat", *bodies)


def still(picture: Coded, *properties: bytes, colour: bytes | None = None) -> bytes:
    """One picture with further properties, in their order."""
    nominal = nclx(1, 13, picture.matrix)
    boxes = (*picture.boxes, *((nominal,) if colour is None else (nominal, colour)), *properties)
    return bmff([Item(picture.kind, picture.data, boxes)], brand=CODEC_BRANDS[picture.kind])


def grid(tiles: Sequence[Coded], rows: int, columns: int, hw: tuple[int, int], *properties: bytes) -> bytes:
    """Tiles of one size, cut to `hw` right and below."""
    matrix = nclx(1, 13, tiles[0].matrix)
    head = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, hw[1], hw[0])
    pixi = next(part for part in tiles[0].boxes if part[4:8] == b"pixi")
    items = [Item(b"grid", head, (ispe(hw), pixi, matrix, *properties), [(b"dimg", range(2, 2 + len(tiles)))])]
    items += [Item(tile.kind, tile.data, (*tile.boxes, matrix)) for tile in tiles]
    return bmff(items, brand=CODEC_BRANDS[tiles[0].kind])


def with_alpha(picture: Coded, alpha: Coded, *properties: bytes) -> bytes:
    """A picture and its alpha plane, turned together."""
    kinds = {b"av01": b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"hvc1": b"urn:mpeg:hevc:2015:auxid:1"}
    aux = full(b"auxC", kinds[picture.kind], b"\0")
    items = [
        Item(picture.kind, picture.data, (*picture.boxes, nclx(1, 13, picture.matrix), *properties)),
        Item(alpha.kind, alpha.data, (*alpha.boxes, aux, *properties), [(b"auxl", [1])]),
    ]
    return bmff(items, brand=CODEC_BRANDS[picture.kind])
