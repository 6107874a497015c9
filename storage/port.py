"""The contract of a store: keys to bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol


class StorageError(Exception):
    """A store could not do what was asked."""


class ObjectNotFoundError(StorageError):
    """Nothing is stored under this key. Trying again won't help."""


class StorageUnavailableError(StorageError):
    """The store is full, slow or away. Trying again may help."""


@dataclass(frozen=True)
class StoredObject:
    """One entry of a listing."""

    key: str
    bytes: int
    modified_at: datetime


class Storage(Protocol):
    """Five verbs. Keys are made in `storage.keys`, never from a caller's names."""

    def put(self, key: str, body: bytes | memoryview | BinaryIO) -> int:
        """Store whole or not at all, replacing; returns the number of bytes. `StorageUnavailableError`."""

    def open(self, key: str) -> BinaryIO:
        """A reader of the stored bytes, to be closed. `ObjectNotFoundError`, `StorageUnavailableError`."""

    def delete(self, key: str) -> None:
        """Remove; nothing to remove is fine. `StorageUnavailableError`."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Everything under a prefix, in no order. `StorageUnavailableError`."""

    def check(self) -> None:
        """Raise `StorageUnavailableError` unless a small object can be written and removed."""
