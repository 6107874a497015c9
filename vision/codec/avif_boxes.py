"""The boxes of an AVIF file (ISO/IEC 14496-12, 4.2; HEIF, ISO/IEC 23008-12; AVIF 1.1)."""

from collections.abc import Iterator
from typing import Final

_HEADER: Final = 8
_FULL_HEADER: Final = 4
_INSIDE: Final = {b"meta": _FULL_HEADER, b"iprp": 0, b"ipco": 0, b"iinf": _FULL_HEADER + 2, b"iref": _FULL_HEADER}
"""Boxes that hold boxes, and how many bytes stand before these."""
_PIXEL_BOXES: Final = frozenset(
    {
        *(b"ftyp", b"meta", b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"ipco", b"ipma", b"mdat"),
        *(b"ispe", b"pixi", b"av1C", b"auxC", b"auxl"),
    }
)


def find_box(encoded: bytes, *path: bytes) -> range:
    """Where the content of the first box of a path lies. ValueError where there is none."""
    inside = range(len(encoded))
    for depth, kind in enumerate(path):
        before = _INSIDE.get(path[depth - 1], 0) if depth else 0
        inside = next(
            (body for name, body in _boxes(encoded, inside.start + before, inside.stop) if name == kind), range(0)
        )
        if not inside:
            raise ValueError(f"no {kind.decode()} in this file")
    return inside


def parts_of_avif(encoded: bytes) -> Iterator[str]:
    """Names of everything in the file that is not pixels nor tells how to read them."""
    yield from _foreign(encoded, 0, len(encoded))


def _foreign(encoded: bytes, start: int, stop: int) -> Iterator[str]:
    for kind, body in _boxes(encoded, start, stop):
        name = kind.decode("latin-1")
        if kind == b"infe":
            item = encoded[body.start + 8 : body.start + 12]
            if item != b"av01":
                yield f"item {item.decode('latin-1')}"
        elif kind == b"colr":
            space = encoded[body.start : body.start + 4]
            if space != b"nclx":
                yield f"colour {space.decode('latin-1')}"
        elif kind not in _PIXEL_BOXES:
            yield name
        if kind in _INSIDE:
            yield from _foreign(encoded, body.start + _INSIDE[kind], body.stop)


def _boxes(encoded: bytes, start: int, stop: int) -> Iterator[tuple[bytes, range]]:
    """Kind and place of each box's content. ValueError where they do not fill the space."""
    while start < stop:
        size = int.from_bytes(encoded[start : start + 4], "big")
        if size < _HEADER or start + size > stop:
            raise ValueError("damaged AVIF, or bytes behind its end")
        yield encoded[start + 4 : start + 8], range(start + _HEADER, start + size)
        start += size
