"""What a TIFF says of itself (TIFF 6.0, BigTIFF), and which of its many kinds are read; no pixel is decoded."""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from vision.errors import ImageError

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _ORIENTATION, _SAMPLES, _PLANAR = 266, 274, 277, 284
_TILE_WIDTH, _TILE_HEIGHT, _DOT_RANGE, _EXTRA, _SAMPLE_FORMAT = 322, 323, 336, 338, 339
_SUBSAMPLING, _DNG = 530, 50706
_WANTED: Final = frozenset(
    {_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION, _SAMPLES, _PLANAR}
    | {_TILE_WIDTH, _TILE_HEIGHT, _DOT_RANGE, _EXTRA, _SAMPLE_FORMAT, _SUBSAMPLING, _DNG}
)
_TYPES: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_VALUES: Final = 16
_MOST_ENTRIES: Final = 4096
_MOST_SUBFILES: Final = 16

_IS_NO_PAGE: Final = 0b101
"""Bits of NewSubfileType: a smaller copy, or a transparency mask, of another picture of the file."""
_RAW: Final = 1
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
"""None, CCITT, fax 3 and 4, LZW, JPEG, deflate, PackBits, deflate by its older number."""
_FAX: Final = frozenset({2, 3, 4})
_JPEG: Final = 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_CHANNELS: Final = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3}
_MOST_TILE_PX: Final = 1 << 22


@dataclass(frozen=True)
class TiffClaims:
    """Of the first page. `is_inverted`: 0 is white in 16 bit grey, or full ink in CMYK (DotRange from 255 to 0)."""

    width_px: int
    height_px: int
    orientation: int
    bits: int
    frames: int
    is_inverted: bool


def read_claims(stream: BinaryIO) -> TiffClaims:
    """Read the tags of the first page and look for a second one; smaller copies and masks do not count as pages.

    Raises ImageError: failed_to_read_image; invalid_file_type for kinds that are not read. struct.error where the
    file is cut off.
    """
    reader = _Reader(stream)
    tags, following = reader.directory(reader.first)
    if _DNG in tags or tags.get(_SUBFILE, (0,))[0] & 1:
        raise _refused("a camera's raw file")
    width, height = _one(tags, _WIDTH), _one(tags, _HEIGHT)
    orientation = _one(tags, _ORIENTATION, 1)
    bits = _check_kind(tags)
    _check_tiles(tags, width * height)
    photometric = _one(tags, _PHOTOMETRIC, 0)
    is_inverted = tags.get(_DOT_RANGE, ())[:2] == (255, 0) if photometric == _CMYK else photometric == 0 and bits > 8  # noqa: PLR2004
    return TiffClaims(
        width_px=width,
        height_px=height,
        orientation=orientation if 1 <= orientation <= 8 else 1,  # noqa: PLR2004 - the eight of tag 274
        bits=bits,
        frames=2 if reader.has_page(following) else 1,
        is_inverted=is_inverted,
    )


class _Reader:
    """Directories of tags, in either byte order, with offsets of 32 bits (TIFF) or 64 (BigTIFF)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        start = stream.read(16)
        self._order = "<" if start[:2] == b"II" else ">"
        self._big = start[2:4] == b"+\0"
        self._offset = "Q" if self._big else "I"
        self.first: int = struct.unpack_from(self._order + self._offset, start, 8 if self._big else 4)[0]

    def directory(self, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """The tags that matter here, and where the next directory is; 0 for none."""
        self._stream.seek(offset)
        counter = "Q" if self._big else "H"
        count = self._unpack(counter)[0]
        if count > _MOST_ENTRIES:
            raise ImageError("failed_to_read_image", "The TIFF has far more tags than any picture.")
        entry = struct.Struct(f"{self._order}HH{self._offset}{8 if self._big else 4}s")
        body = self._stream.read(entry.size * count)
        following = self._unpack(self._offset)[0]
        tags: dict[int, tuple[int, ...]] = {}
        for tag, kind, values, field in entry.iter_unpack(body[: len(body) // entry.size * entry.size]):
            # Of two tags of a kind the first counts, as for libtiff and Pillow.
            if tag in _WANTED - tags.keys() and kind in _TYPES and 0 < values <= _MOST_VALUES:
                tags[tag] = self._values(f"{values}{_TYPES[kind]}", field)
        return tags, following

    def has_page(self, offset: int) -> bool:
        """Whether a directory from here on is a page of its own. What cannot be read is none."""
        seen = {self.first}
        while offset and offset not in seen and len(seen) <= _MOST_SUBFILES:
            seen.add(offset)
            try:
                tags, following = self.directory(offset)
            except (struct.error, ImageError):
                return False
            if not tags.get(_SUBFILE, (0,))[0] & _IS_NO_PAGE:
                return _WIDTH in tags
            offset = following
        return False

    def _values(self, layout: str, field: bytes) -> tuple[int, ...]:
        """From the entry itself, or from where it points to."""
        size = struct.calcsize(self._order + layout)
        if size <= len(field):
            return struct.unpack_from(self._order + layout, field)
        self._stream.seek(struct.unpack_from(self._order + self._offset, field)[0])
        return self._unpack(layout)

    def _unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(self._order + layout, self._stream.read(struct.calcsize(self._order + layout)))


def _one(tags: dict[int, tuple[int, ...]], tag: int, default: int | None = None) -> int:
    values = tags.get(tag, () if default is None else (default,))
    if not values:
        raise ImageError("failed_to_read_image", "The TIFF does not say how large its picture is.")
    return values[0]


def _check_kind(tags: dict[int, tuple[int, ...]]) -> int:
    """Bits of a channel, where the kind is one that Pillow reads right; `tests` hold it to that."""
    compression, photometric = _one(tags, _COMPRESSION, 1), _one(tags, _PHOTOMETRIC, 0)
    bits, samples = tags.get(_BITS, (1,)), _one(tags, _SAMPLES, 1)
    extra = samples - _CHANNELS.get(photometric, 0)
    if compression not in _COMPRESSIONS:
        raise _refused(f"compressed by method {compression}")
    if any(kind != 1 for kind in tags.get(_SAMPLE_FORMAT, (1,))):
        raise _refused("of signed or floating-point numbers")
    if photometric not in _CHANNELS:
        raise _refused(f"of colours by photometric interpretation {photometric}")
    if extra < 0 or len(set(bits)) != 1 or not _is_depth(photometric, bits[0], extra):
        raise _refused(f"of {samples} channels and {bits[0]} bits in photometric interpretation {photometric}")
    if compression in _FAX and (bits[0] != 1 or photometric > _BLACK_IS_ZERO):
        raise _refused("of more than one bit in a fax's compression")
    if compression == _JPEG and bits[0] != 8:  # noqa: PLR2004
        raise _refused(f"of {bits[0]} bits in JPEG compression")
    if photometric == _YCBCR and compression == 1 and tags.get(_SUBSAMPLING, (2, 2)) != (1, 1):
        raise _refused("of subsampled colours without compression")
    return bits[0]


def _is_depth(photometric: int, bits: int, extra: int) -> bool:
    if photometric == _WHITE_IS_ZERO:
        return extra == 0 and bits in {1, 2, 4, 8, 16}
    if photometric == _BLACK_IS_ZERO:
        return bits in {1, 2, 4, 8, 16} if extra == 0 else extra == 1 and bits == 8  # noqa: PLR2004
    if photometric == _PALETTE:
        return bits in {1, 2, 4, 8} if extra == 0 else extra == 1 and bits == 8  # noqa: PLR2004
    if photometric == _RGB:
        return extra <= {8: 3, 16: 1}.get(bits, -1)
    if photometric == _CMYK:
        return extra <= {8: 2, 16: 0}.get(bits, -1)
    return bits == 8 and extra == 0  # noqa: PLR2004


def _check_tiles(tags: dict[int, tuple[int, ...]], pixels: int) -> None:
    """A tile is a buffer of its own: one far larger than the picture is there to fill memory."""
    if (
        _TILE_WIDTH in tags
        and _TILE_HEIGHT in tags
        and _one(tags, _TILE_WIDTH) * _one(tags, _TILE_HEIGHT) > max(4 * pixels, _MOST_TILE_PX)
    ):
        raise ImageError("failed_to_read_image", "The TIFF's tiles are far larger than its picture.")


def _refused(kind: str) -> ImageError:
    return ImageError("invalid_file_type", f"A TIFF {kind} is not read here; save it as 8 or 16 bit RGB.")
