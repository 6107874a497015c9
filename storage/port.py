"""The contract of a store: keys to bytes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol

_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)*")


class StorageError(Exception):
    """A store could not do what was asked."""


class ObjectNotFoundError(StorageError):
    """Nothing is stored under this key. Trying again won't help."""


class StorageUnavailableError(StorageError):
    """The store is full, slow, away, or doesn't let us in. Trying again may help, after `retry_after_s` if known."""

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class StoredObject:
    """One entry of a listing."""

    key: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Served:
    """How a store that hands out files itself is to name one: the values of two HTTP headers."""

    content_type: str = "application/octet-stream"
    content_disposition: str | None = None


NOT_SERVED = Served()
"""Of a file that nobody but the service reads."""


class Storage(Protocol):
    """Six verbs. Keys are made in `storage.keys`, never from a caller's names."""

    def put(self, key: str, body: bytes | memoryview | BinaryIO, served: Served = NOT_SERVED) -> int:
        """Store whole or not at all, replacing; returns the number of bytes. `StorageUnavailableError`."""

    def open(self, key: str) -> BinaryIO:
        """A reader of the stored bytes, to be closed; it can seek. `ObjectNotFoundError`, `StorageUnavailableError`.

        Its reads raise these too.
        """

    def delete(self, key: str) -> None:
        """Remove; nothing to remove is fine. `StorageUnavailableError`."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Everything under a prefix of whole segments, in no order. `StorageUnavailableError`."""

    def url(self, key: str, *, expires_in: timedelta) -> str | None:
        """A URL that opens the object for a while without a key, as `put` said it is served; None where there is none.

        It is a secret. Whether the object is there is not looked at. `StorageUnavailableError`.
        """

    def check(self) -> None:
        """Raise `StorageUnavailableError` unless a small object can be written and removed."""


def is_key(text: str) -> bool:
    """Whether it is spelled as `storage.keys` does: what else lies in a store is not ours."""
    return _KEY.fullmatch(text) is not None and ".." not in text


def checked(key: str) -> str:
    """The key; one that could leave the store is a programming error (`ValueError`)."""
    if not is_key(key):
        message = f"not a storage key: {key!r}"
        raise ValueError(message)
    return key
