"""What a TIFF says of itself (TIFF 6.0, BigTIFF), and which of its many kinds are read; no pixel is decoded."""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from vision.codec.tiff_tags import Entry, Tag, TagReader, Tags
from vision.errors import ImageError

_MOST_SUBFILES: Final = 16

_IS_NO_PAGE: Final = 0b101
"""Bits of NewSubfileType: a smaller copy, or a transparency mask, of another picture of the file."""
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
"""None, CCITT, fax 3 and 4, LZW, JPEG, deflate, PackBits, deflate by its older number."""
_FAX: Final = frozenset({2, 3, 4})
_JPEG: Final = 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
CHANNELS: Final = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, CMYK: 4, _YCBCR: 3, _LAB: 3}
_SEPARATE: Final = 2
_PREMULTIPLIED: Final = 1
_ALPHAS: Final = frozenset({_PREMULTIPLIED, 2, 999})
"""Meanings of an extra channel: premultiplied, straight, straight by an older program's number."""
DEEP: Final = 16
_DEEP_EXTRA: Final = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, CMYK: 2}
"""Channels beside the colours that a picture of 16 bits may have."""
_MOST_TILE_PX: Final = 1 << 22


class Alpha(NamedTuple):
    """The number of the channel that is alpha, and whether colours were multiplied by it."""

    channel: int
    is_premultiplied: bool


@dataclass(frozen=True)
class TiffClaims:
    """Of the first page. `is_inverted`: 0 is white in 16 bit grey, or full ink in CMYK (DotRange from most to 0).

    `by_samples`: `vision.codec.tiff_samples` reads it, as Pillow would lose the low bytes or the alpha.
    """

    width_px: int
    height_px: int
    orientation: int
    bits: int
    frames: int
    is_inverted: bool
    by_samples: bool


def read_claims(stream: BinaryIO) -> TiffClaims:
    """Read the tags of the first page and look for a second one; smaller copies and masks do not count as pages.

    Raises ImageError: failed_to_read_image; invalid_file_type for kinds that are not read. struct.error where the
    file is cut off.
    """
    reader = TagReader(stream)
    entries, following = reader.entries(reader.first)
    tags = reader.numbers(entries)
    if Tag.DNG in tags or tags.get(Tag.SUBFILE, (0,))[0] & 1:
        raise _refused("a camera's raw file")
    width, height = _one(tags, Tag.WIDTH), _one(tags, Tag.HEIGHT)
    orientation = _one(tags, Tag.ORIENTATION, 1)
    bits = _check_kind(tags)
    _check_tiles(tags, width * height)
    _check_parts(tags, entries, width, height)
    photometric = _one(tags, Tag.PHOTOMETRIC, 0)
    if photometric == CMYK:
        is_inverted = tags.get(Tag.DOT_RANGE, ())[:2] == ((1 << bits) - 1, 0)
    else:
        is_inverted = photometric == _WHITE_IS_ZERO and bits == DEEP
    is_more_than_inks = photometric == CMYK and _one(tags, Tag.SAMPLES, 1) > CHANNELS[CMYK]
    return TiffClaims(
        width_px=width,
        height_px=height,
        orientation=orientation if 1 <= orientation <= 8 else 1,  # noqa: PLR2004 - the eight of tag 274
        bits=bits,
        frames=2 if _has_page(reader, following) else 1,
        is_inverted=is_inverted,
        by_samples=bits == DEEP or (is_more_than_inks and _one(tags, Tag.COMPRESSION, 1) != _JPEG),
    )


def find_alpha(tags: Tags) -> Alpha | None:
    """Which channel is alpha, if one is (TIFF 6.0, ExtraSamples): channels of no stated meaning are not.

    An RGB of four channels that says nothing of the fourth has an alpha there, as for Pillow.
    """
    photometric, samples = _one(tags, Tag.PHOTOMETRIC, 0), _one(tags, Tag.SAMPLES, 1)
    colours = CHANNELS[photometric]
    for number, meaning in enumerate(tags.get(Tag.EXTRA, ())[: samples - colours]):
        if meaning in _ALPHAS:
            return Alpha(colours + number, is_premultiplied=meaning == _PREMULTIPLIED)
    is_unsaid = Tag.EXTRA not in tags and photometric == _RGB and samples == colours + 1
    return Alpha(colours, is_premultiplied=False) if is_unsaid else None


def _has_page(reader: TagReader, offset: int) -> bool:
    """Whether a directory from here on is a page of its own. What cannot be read is none."""
    seen = {reader.first}
    while offset and offset not in seen and len(seen) <= _MOST_SUBFILES:
        seen.add(offset)
        try:
            entries, following = reader.entries(offset)
            tags = reader.numbers(entries)
        except (struct.error, ImageError):
            return False
        if not tags.get(Tag.SUBFILE, (0,))[0] & _IS_NO_PAGE:
            return Tag.WIDTH in tags
        offset = following
    return False


def _one(tags: Tags, tag: int, default: int | None = None) -> int:
    values = tags.get(tag, () if default is None else (default,))
    if not values:
        raise ImageError("failed_to_read_image", "The TIFF does not say how large its picture is.")
    return values[0]


def _check_kind(tags: Tags) -> int:
    """Bits of a channel, where the kind is one that Pillow reads right; `tests` hold it to that."""
    compression, photometric = _one(tags, Tag.COMPRESSION, 1), _one(tags, Tag.PHOTOMETRIC, 0)
    bits, samples = tags.get(Tag.BITS, (1,)), _one(tags, Tag.SAMPLES, 1)
    extra = samples - CHANNELS.get(photometric, 0)
    if compression not in _COMPRESSIONS:
        raise _refused(f"compressed by method {compression}")
    if any(kind != 1 for kind in tags.get(Tag.SAMPLE_FORMAT, (1,))):
        raise _refused("of signed or floating-point numbers")
    if photometric not in CHANNELS:
        raise _refused(f"of colours by photometric interpretation {photometric}")
    if extra < 0 or len(set(bits)) != 1 or not _is_depth(photometric, bits[0], extra):
        raise _refused(f"of {samples} channels and {bits[0]} bits in photometric interpretation {photometric}")
    if compression in _FAX and (bits[0] != 1 or photometric > _BLACK_IS_ZERO):
        raise _refused("of more than one bit in a fax's compression")
    if compression == _JPEG and bits[0] != 8:  # noqa: PLR2004
        raise _refused(f"of {bits[0]} bits in JPEG compression")
    if photometric == _YCBCR and compression == 1 and tags.get(Tag.SUBSAMPLING, (2, 2)) != (1, 1):
        raise _refused("of subsampled colours without compression")
    return bits[0]


def _is_depth(photometric: int, bits: int, extra: int) -> bool:
    if bits == DEEP:
        return extra <= _DEEP_EXTRA.get(photometric, -1)
    if photometric == _WHITE_IS_ZERO:
        return extra == 0 and bits in {1, 2, 4, 8}
    if photometric in {_BLACK_IS_ZERO, _PALETTE}:
        return bits in {1, 2, 4, 8} if extra == 0 else extra == 1 and bits == 8  # noqa: PLR2004
    return bits == 8 and extra <= {_RGB: 3, CMYK: 2}.get(photometric, 0)  # noqa: PLR2004


def _check_tiles(tags: Tags, pixels: int) -> None:
    """A tile is a buffer of its own: one far larger than the picture is there to fill memory."""
    if (
        Tag.TILE_WIDTH in tags
        and Tag.TILE_HEIGHT in tags
        and _one(tags, Tag.TILE_WIDTH) * _one(tags, Tag.TILE_HEIGHT) > max(4 * pixels, _MOST_TILE_PX)
    ):
        raise ImageError("failed_to_read_image", "The TIFF's tiles are far larger than its picture.")


def _check_parts(tags: Tags, entries: dict[int, Entry], width: int, height: int) -> None:
    """There must be as many strips or tiles as the picture takes: Pillow leaves black what is missing."""
    if Tag.TILE_OFFSETS in entries:
        tile_width, tile_height = _one(tags, Tag.TILE_WIDTH), _one(tags, Tag.TILE_HEIGHT)
        wanted = -(-width // max(tile_width, 1)) * -(-height // max(tile_height, 1))
        found = entries[Tag.TILE_OFFSETS].values
    else:
        wanted = -(-height // (_one(tags, Tag.ROWS_PER_STRIP, height) or max(height, 1)))
        found = entries[Tag.STRIP_OFFSETS].values if Tag.STRIP_OFFSETS in entries else 0
    planes = _one(tags, Tag.SAMPLES, 1) if _one(tags, Tag.PLANAR, 1) == _SEPARATE else 1
    if found < wanted * planes:
        raise ImageError("failed_to_read_image", "The TIFF has fewer strips or tiles than its picture takes.")


def _refused(kind: str) -> ImageError:
    return ImageError("invalid_file_type", f"A TIFF {kind} is not read here; save it as 8 or 16 bit RGB.")
