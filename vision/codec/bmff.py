"""What an AVIF or HEIF says of itself (ISO 23008-12, MIAF, AV1 in HEIF); no pixel is decoded.

Read here, box by box, rather than by libavif or libheif: the header is looked at in the API, where no library of C++
has to see what strangers send. Those decode later, in the decoder processes, and have to come to the same size.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, NamedTuple, TypeAlias

from vision.codec.boxes import Box, Fields, damaged, read_top
from vision.errors import ImageError

Primaries: TypeAlias = Literal["srgb", "p3", "bt2020"]
"""Which red, green and blue are meant where a file has no ICC profile."""

_ORIENTATION: Final[dict[tuple[int, int | None], int]] = {
    (0, None): 1, (0, 0): 4, (0, 1): 2,
    (1, None): 8, (1, 0): 5, (1, 1): 7,
    (2, None): 3, (2, 0): 2, (2, 1): 4,
    (3, None): 6, (3, 0): 7, (3, 1): 5,
}  # fmt: skip
"""EXIF's number of a turn (quarters anticlockwise) and the mirror behind it (0: top to bottom, 1: left to right)."""
_PRIMARIES: Final[dict[int, Primaries]] = {1: "srgb", 2: "srgb", 5: "srgb", 6: "srgb", 9: "bt2020", 12: "p3"}
"""Of ITU-T H.273. 5 and 6, of older television, differ from sRGB's by less than anybody sees."""
_STANDARD_RANGE: Final = frozenset({1, 2, 4, 5, 6, 13, 14, 15})
"""Transfer characteristics of H.273 that are near enough to sRGB's; PQ and HLG are not among them, nor is linear."""
_TURNS: Final = (b"clap", b"irot", b"imir")
_CODECS: Final[dict[bytes | None, Literal["avif", "heif"]]] = {b"av01": "avif", b"hvc1": "heif"}
_SEQUENCES: Final = frozenset({b"avis"})
_BRAND: Final = slice(0, 4)
_VISUAL_ENTRY: Final = 78
_MOST_ITEMS: Final = 4096
_EXIF_ITEM: Final = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
_SPARE_PX: Final = 8_000_000


class Crop(NamedTuple):
    """The part that is shown of a picture that was coded larger; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    coded_hw: tuple[int, int]


@dataclass(frozen=True)
class BmffClaims:
    """Of the picture that is shown. The size is as stored, and of the `crop` if there is one."""

    codec: Literal["avif", "heif"]
    width_px: int
    height_px: int
    crop: Crop | None
    orientation: int
    bits: int
    primaries: Primaries
    frames: int


def read_claims(stream: BinaryIO, file_bytes: int) -> BmffClaims:
    """The primary picture, or the first of a sequence that calls itself one.

    Raises ImageError: failed_to_read_image; invalid_file_type for codecs and HDR that are not read. struct.error,
    IndexError where boxes are cut off.
    """
    top = read_top(stream, frozenset({b"ftyp", b"meta", b"moov"}), file_bytes)
    if b"moov" in top and top[b"ftyp"].body[_BRAND] in _SEQUENCES:
        return _sequence(top[b"moov"])
    if b"meta" not in top:
        if b"moov" in top:
            raise ImageError("invalid_file_type", "A sequence of HEIF pictures is not read here; send a still.")
        raise damaged()
    return _Items(top[b"meta"]).primary()


def without_exif(data: bytes) -> bytes:
    """The file with its EXIF renamed: it has no say here, and libavif refuses a picture whose EXIF is broken."""
    return _EXIF_ITEM.sub(rb"\1none", data)


class _Items:
    """The items of a file: pictures, their tiles, their metadata."""

    def __init__(self, meta: Box) -> None:
        parts = {box.kind: box for box in reversed(list(meta.children(4)))}
        if not parts.keys() >= {b"pitm", b"iinf", b"iprp"}:
            raise damaged()
        pitm = parts[b"pitm"]
        self._primary = Fields(pitm.body, 4).take(4 if pitm.version else 2)
        self._kinds = dict(_kinds(parts[b"iinf"]))
        self._tiles = _tiles(parts[b"iref"]) if b"iref" in parts else {}
        self._properties = _properties(parts[b"iprp"])
        self._extents = [_extent([box]) for box in _known(parts[b"iprp"]) if box.kind == b"ispe"]

    def primary(self) -> BmffClaims:
        kind = self._kinds.get(self._primary)
        tiles = self._tiles.get(self._primary, ()) if kind == b"grid" else ()
        kinds = {self._kinds.get(tile) for tile in tiles} or {kind}
        codec = _CODECS.get(next(iter(kinds)))
        if len(kinds) > 1 or codec is None:
            raise ImageError("invalid_file_type", "The picture is not coded as HEVC or AV1, which alone are read here.")
        claims = _claims(codec, self._properties.get(self._primary, ()), frames=1)
        self._check_parts(tiles, claims)
        return claims

    def _check_parts(self, tiles: Sequence[int], claims: BmffClaims) -> None:
        """Tiles, alpha planes and other parts that are far larger than the picture are there to fill memory."""
        extents = [_extent(self._properties.get(tile, ())) for tile in tiles]
        pixels = max(sum(width * height for width, height in extents), *(w * h for w, h in self._extents), 0)
        if pixels > 2 * claims.width_px * claims.height_px + _SPARE_PX:
            raise ImageError("resolution_too_high", "The picture's parts hold far more pixels than it shows.")


def _kinds(iinf: Box) -> list[tuple[int, bytes]]:
    """(item, four letters of what it is)."""
    kinds = []
    for box in iinf.children(8 if iinf.version else 6):
        if box.kind == b"infe" and box.version >= 2:  # noqa: PLR2004 - older ones are no pictures
            fields = Fields(box.body, 4)
            item = fields.take(2 if box.version == 2 else 4)  # noqa: PLR2004
            fields.take(2)
            kinds.append((item, fields.bytes(4)))
    return kinds


def _tiles(iref: Box) -> dict[int, tuple[int, ...]]:
    size = 4 if iref.version else 2
    found: dict[int, tuple[int, ...]] = {}
    for box in iref.children(4):
        if box.kind == b"dimg":
            fields = Fields(box.body)
            item, count = fields.take(size), fields.take(2)
            found[item] = tuple(fields.take(size) for _ in range(count))
    return found


def _known(iprp: Box) -> list[Box]:
    """The properties that items share."""
    container = iprp.child(b"ipco")
    return list(container.children()) if container else []


def _properties(iprp: Box) -> dict[int, tuple[Box, ...]]:
    """The properties of each item in their order."""
    known = _known(iprp)
    found: dict[int, tuple[Box, ...]] = {}
    for ipma in (box for box in iprp.children() if box.kind == b"ipma"):
        fields = Fields(ipma.body, 4)
        for _ in range(min(fields.take(4), _MOST_ITEMS)):
            item = fields.take(2 if ipma.version == 0 else 4)
            count = fields.take(1)
            wide = ipma.flags & 1
            numbers = [fields.take(2) & 0x7FFF if wide else fields.take(1) & 0x7F for _ in range(count)]
            found.setdefault(item, tuple(known[number - 1] for number in numbers if number))
    return found


def _claims(codec: Literal["avif", "heif"], properties: Sequence[Box], *, frames: int) -> BmffClaims:
    width, height = _extent(properties)
    turns = [box for box in properties if box.kind in _TURNS]
    if [box.kind for box in turns] != [kind for kind in _TURNS if any(box.kind == kind for box in turns)]:
        raise ImageError("failed_to_read_image", "The picture is cropped, turned or mirrored in no order that holds.")
    crop, angle, axis = None, 0, None
    for box in turns:
        if box.kind == b"clap":
            crop = _crop(box, width, height)
        elif box.kind == b"irot":
            angle = box.body[0] & 3
        else:
            axis = box.body[0] & 1
    depth = next((box for box in properties if box.kind == b"pixi"), None)
    if crop is not None:
        width, height = crop.right - crop.left, crop.bottom - crop.top
    return BmffClaims(
        codec=codec,
        width_px=width,
        height_px=height,
        crop=crop,
        orientation=_ORIENTATION[angle, axis],
        bits=8 if depth is None else max(depth.body[5:], default=8),
        primaries=_primaries(properties),
        frames=frames,
    )


def _extent(properties: Sequence[Box]) -> tuple[int, int]:
    """(width, height) as stored."""
    box = next((box for box in properties if box.kind == b"ispe"), None)
    if box is None:
        raise ImageError("failed_to_read_image", "The file does not say how large its picture is.")
    width, height = Fields(box.body, 4).many("II")
    return width, height


def _crop(clap: Box, width: int, height: int) -> Crop | None:
    """The clean aperture, whose centre is an offset from the picture's; None where it is the whole picture."""
    numbers = Fields(clap.body).many("IIIIiIiI")
    (w, wd), (h, hd), (x, xd), (y, yd) = (numbers[at : at + 2] for at in range(0, 8, 2))
    if not (wd and hd and xd and yd) or w % wd or h % hd:
        raise damaged()
    crop_width, crop_height = w // wd, h // hd
    left2, left_rest = divmod((width - crop_width) * xd + 2 * x, xd)
    top2, top_rest = divmod((height - crop_height) * yd + 2 * y, yd)
    left, top = left2 // 2, top2 // 2
    right, bottom = left + crop_width, top + crop_height
    is_inside = 0 <= left < right <= width and 0 <= top < bottom <= height
    if left_rest or top_rest or left2 % 2 or top2 % 2 or not is_inside:
        raise damaged()
    return None if (crop_width, crop_height) == (width, height) else Crop(left, top, right, bottom, (height, width))


def _primaries(properties: Sequence[Box]) -> Primaries:
    """Of the `nclx` kind of colour box; a profile in the file counts more."""
    for box in properties:
        if box.kind == b"colr" and box.body[:4] == b"nclx":
            primaries, transfer = Fields(box.body, 4).many("HH")
            if transfer not in _STANDARD_RANGE:
                raise ImageError("invalid_file_type", "The picture is HDR (PQ, HLG) or linear; send it as plain sRGB.")
            if primaries not in _PRIMARIES:
                raise ImageError("invalid_file_type", f"The picture's colour primaries {primaries} are not read here.")
            return _PRIMARIES[primaries]
    return "srgb"


def _sequence(moov: Box) -> BmffClaims:
    """The first track of AV1 pictures that is no alpha of another."""
    for track in (box for box in moov.children() if box.kind == b"trak"):
        table = _path(track, b"mdia", b"minf", b"stbl")
        handler = _path(track, b"mdia", b"hdlr")
        described, sizes = (table and table.child(b"stsd")), (table and table.child(b"stsz"))
        if handler is None or described is None or sizes is None or handler.body[8:12] != b"pict":
            continue
        entry = described.child(b"av01", 8)
        if entry is None:
            continue
        size = Box(b"ispe", bytes(4) + entry.body[24:26].rjust(4, b"\0") + entry.body[26:28].rjust(4, b"\0"))
        frames = Fields(sizes.body, 8).take(4)
        return _claims("avif", (size, *entry.children(_VISUAL_ENTRY)), frames=min(frames, 2))
    raise damaged()


def _path(box: Box, *kinds: bytes) -> Box | None:
    found: Box | None = box
    for kind in kinds:
        found = found.child(kind) if found else None
    return found
