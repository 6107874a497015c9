"""Where downloads go: into memory, or to a file that is there whole or not at all. Both know the sha256."""

import hashlib
import os
import uuid
from pathlib import Path
from typing import BinaryIO, Self

from packshot_client.errors import ChecksumError


class MemorySink:
    """Bytes in memory."""

    def __init__(self) -> None:
        self.content = bytearray()

    def start(self) -> None:
        """Forget what there is."""
        self.content.clear()

    def write(self, chunk: bytes, /) -> None:
        """Append."""
        self.content += chunk

    def check(self, sha256: str | None) -> bytes:
        """The bytes. `ChecksumError` where they are others; None is not known, as of what is made on the way."""
        _compare(hashlib.sha256(self.content).hexdigest(), sha256)
        return bytes(self.content)


class FileSink:
    """A file beside its place, moved there by `keep`; a context that removes what was not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()

    def start(self) -> None:
        """Begin an empty file."""
        self._close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._beside.open("wb")
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes, /) -> None:
        """Append, and hash on the way."""
        if self._file is None:
            raise ValueError("not started")
        self._digest.update(chunk)
        self._file.write(chunk)

    def keep(self, sha256: str | None) -> Path:
        """Put the file in its place, in place of what is there. `ChecksumError` as `MemorySink.check`."""
        if self._file is None:
            raise ValueError("not started")
        _compare(self._digest.hexdigest(), sha256)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._close()
        return self._beside.replace(self._path)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._beside.unlink(missing_ok=True)


def _compare(found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        raise ChecksumError(f"The file has the sha256 {found}, not {wanted}.")
