"""Directories of a TIFF (TIFF 6.0, section 2) or BigTIFF: which tags stand where, with what values."""

import struct
from enum import IntEnum
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from vision.errors import ImageError


class Tag(IntEnum):
    """Numbers of tags, by TIFF 6.0's names."""

    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    DOT_RANGE = 336
    EXTRA = 338
    SAMPLE_FORMAT = 339
    SUBSAMPLING = 530
    ICC = 34675
    DNG = 50706


LAYOUTS: Final = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
"""Types of values that matter here, as `struct` writes them: byte, short, long, undefined, long of BigTIFF."""
_WHOLE_NUMBERS: Final = frozenset({1, 3, 4, 16})
_READ: Final = frozenset(Tag) - {Tag.STRIP_OFFSETS, Tag.STRIP_BYTES, Tag.TILE_OFFSETS, Tag.TILE_BYTES, Tag.ICC}
_MOST_VALUES: Final = 16
_MOST_ENTRIES: Final = 4096

Tags: TypeAlias = dict[int, tuple[int, ...]]


class Entry(NamedTuple):
    """A tag's type, how many values it has, and where in the file they stand."""

    kind: int
    values: int
    at: int


class TagReader:
    """Directories of tags, in either byte order, with offsets of 32 bits (TIFF) or 64 (BigTIFF)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        start = stream.read(16)
        self.order = "<" if start[:2] == b"II" else ">"
        self.is_big = start[2:4] == b"+\0"
        self.first_at = 8 if self.is_big else 4
        """Where the offset of the first directory stands."""
        self.first: int = struct.unpack_from(self.order + self.offset, start, self.first_at)[0]

    @property
    def offset(self) -> str:
        """An offset as `struct` writes it."""
        return "Q" if self.is_big else "I"

    @property
    def field_bytes(self) -> int:
        """Values up to this size stand in their entry itself."""
        return 8 if self.is_big else 4

    def entries(self, offset: int) -> tuple[dict[int, Entry], int]:
        """The tags of the directory at an offset, and where the next one is; 0 for none.

        Of two tags of a kind the first counts, as for libtiff and Pillow. Raises ImageError failed_to_read_image;
        struct.error where the file is cut off.
        """
        self._stream.seek(offset)
        counter = "Q" if self.is_big else "H"
        tags = self._unpack(counter)[0]
        if tags > _MOST_ENTRIES:
            raise ImageError("failed_to_read_image", "The TIFF has far more tags than any picture.")
        layout = struct.Struct(f"{self.order}HH{self.offset}{self.field_bytes}s")
        body = self._stream.read(layout.size * tags)
        following = self._unpack(self.offset)[0]
        start = offset + struct.calcsize(self.order + counter)
        found: dict[int, Entry] = {}
        whole = body[: len(body) // layout.size * layout.size]
        for number, (tag, kind, count, field) in enumerate(layout.iter_unpack(whole)):
            if kind in LAYOUTS and count > 0:
                at = start + (number + 1) * layout.size - self.field_bytes
                if count * struct.calcsize(self.order + LAYOUTS[kind]) > self.field_bytes:
                    at = struct.unpack(self.order + self.offset, field)[0]
                found.setdefault(tag, Entry(kind, count, at))
        return found, following

    def numbers(self, entries: dict[int, Entry]) -> Tags:
        """Values of the tags that say what kind of picture it is. struct.error where they are behind the end."""
        return {
            tag: self._numbers(entry)
            for tag, entry in entries.items()
            if tag in _READ and entry.kind in _WHOLE_NUMBERS and entry.values <= _MOST_VALUES
        }

    def _numbers(self, entry: Entry) -> tuple[int, ...]:
        self._stream.seek(entry.at)
        return self._unpack(f"{entry.values}{LAYOUTS[entry.kind]}")

    def _unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(self.order + layout, self._stream.read(struct.calcsize(self.order + layout)))
