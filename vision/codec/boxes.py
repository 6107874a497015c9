"""Boxes of the ISO base media file format (ISO 14496-12), of which AVIF and HEIF files are made. Pure reading."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from vision.errors import ImageError

_MOST_BOXES: Final = 4096
_MOST_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Box:
    """A box's four letters and what it holds."""

    kind: bytes
    body: bytes

    @property
    def version(self) -> int:
        """Of a full box. IndexError where it is cut off."""
        return self.body[0]

    @property
    def flags(self) -> int:
        """Of a full box."""
        return int.from_bytes(self.body[1:4], "big")

    def children(self, skip: int = 0) -> Iterator["Box"]:
        """The boxes in it, behind `skip` bytes of its own. Ends where they do not fit."""
        at = skip
        for _ in range(_MOST_BOXES):
            if at + 8 > len(self.body):
                return
            size, head = _size(self.body[at : at + 16])
            end = len(self.body) if size == 0 else at + size
            if size and (size < head or end > len(self.body)):
                raise damaged()
            yield Box(self.body[at + 4 : at + 8], self.body[at + head : end])
            at = end

    def child(self, kind: bytes, skip: int = 0) -> "Box | None":
        """The first of a kind."""
        return next((box for box in self.children(skip) if box.kind == kind), None)


def read_top(stream: BinaryIO, kinds: frozenset[bytes], file_bytes: int) -> dict[bytes, Box]:
    """The first box of each kind in a file, without reading the others. ImageError failed_to_read_image."""
    found: dict[bytes, Box] = {}
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > file_bytes or len(found) == len(kinds):
            break
        stream.seek(at)
        size, head = _size(start := stream.read(16))
        kind, end = start[4:8], file_bytes if size == 0 else at + size
        if size and size < head:
            raise damaged()
        if kind in kinds and kind not in found:
            if end > file_bytes or end - at > _MOST_BYTES:
                raise damaged()
            stream.seek(at + head)
            found[kind] = Box(kind, stream.read(end - at - head))
        at = end
    return found


def damaged() -> ImageError:
    """The error of a file whose boxes do not add up."""
    return ImageError("failed_to_read_image", "The file's boxes are damaged or cut off.")


class Fields:
    """Numbers of a body, one after the other, big-endian. struct.error where it is cut off."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body, self._at = body, at

    def take(self, size: int) -> int:
        """The next number of 0 to 8 bytes, unsigned."""
        end = self._at + size
        if end > len(self._body):
            raise struct.error("cut off")
        value = int.from_bytes(self._body[self._at : end], "big")
        self._at = end
        return value

    def many(self, layout: str) -> tuple[int, ...]:
        """The next numbers in the letters of `struct`."""
        values = struct.unpack_from(">" + layout, self._body, self._at)
        self._at += struct.calcsize(">" + layout)
        return values

    def bytes(self, size: int) -> "bytes":
        """The next bytes."""
        end = self._at + size
        if end > len(self._body):
            raise struct.error("cut off")
        part = self._body[self._at : end]
        self._at = end
        return part


def _size(start: bytes) -> tuple[int, int]:
    """(bytes of the box, 0 for up to the end; bytes of its head)."""
    size = int.from_bytes(start[:4], "big")
    if size == 1:
        return int.from_bytes(start[8:16], "big") or 1, 16
    return size, 8
