"""A stored object as a file that can be read and sought, in requests of bounded size and time."""

import io
from collections.abc import Callable

from typing_extensions import Buffer

# (first byte, how many) -> those bytes
Fetch = Callable[[int, int], bytes]

CHUNK_BYTES = 4 * 2**20
"""Fetched at a time by a reader that goes step by step: what one slow download holds in memory."""
_LARGE_BYTES = 32 * 2**20
"""Fetched at a time by one that wants all: most photos come in one or two requests."""


class ObjectReader(io.RawIOBase):
    """Reads an object of `size` bytes piece by piece; `head` is what its first request brought.

    No connection is held between two reads, so whoever reads may be as slow as he likes.
    """

    def __init__(self, fetch: Fetch, size: int, head: bytes) -> None:
        self._fetch = fetch
        self._size = size
        self._piece = head
        self._piece_at = 0
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go on elsewhere; nothing is asked for before the next read."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("before the start of the object")
        self._at = at
        return at

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer as far as one piece goes; 0 at the end."""
        room = memoryview(buffer).cast("B")
        piece = self._ahead(CHUNK_BYTES)[: len(room)]
        room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        """The rest of the object, in few requests."""
        rest = bytearray()
        while piece := self._ahead(_LARGE_BYTES):
            rest += piece
            self._at += len(piece)
        return bytes(rest)

    def _ahead(self, at_most: int) -> memoryview:
        """What is there from here on; fetched where it is not at hand."""
        skipped = self._at - self._piece_at
        if not 0 <= skipped < len(self._piece):
            wanted = min(at_most, self._size - self._at)
            self._piece = self._fetch(self._at, wanted) if wanted > 0 else b""
            self._piece_at, skipped = self._at, 0
        return memoryview(self._piece)[skipped:]
