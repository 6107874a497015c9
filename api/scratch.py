"""The disk of `/tmp`, where what is larger than memory should hold lies while it is on its way."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.port import StorageUnavailableError


@contextmanager
def scratch_disk() -> Iterator[None]:
    """`StorageUnavailableError` where it is full or fails: uploads that end make room, so trying again may help."""
    try:
        yield
    except OSError as error:
        message = f"can't write a temporary file: {error.strerror}"
        raise StorageUnavailableError(message) from error
