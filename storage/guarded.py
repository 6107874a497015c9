"""A store that is left alone for a while when it keeps its callers waiting: each would hold a thread for a minute."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO

import structlog

from config.settings import Settings
from storage.breaker import Breaker, BreakerState
from storage.opening import open_storage
from storage.port import NOT_SERVED, Served, Storage, StorageUnavailableError, StoredObject

log = structlog.get_logger(__name__)

_SLOW = 0.5
"""Of the time that a request may take. One that fails after that counts: connections are tried again meanwhile."""


class GuardedStorage:
    """`Storage` behind a breaker: after some requests in a row that timed out all are refused at once, then one asks.

    What the store answers in time, be it a refusal, shows that it is there. Not guarded: listings, which one sweeper
    walks, later pieces of a file, and signing, which asks nobody.
    """

    def __init__(self, storage: Storage, breaker: Breaker, *, slow_s: float) -> None:
        self._storage = storage
        self._breaker = breaker
        self._slow_s = slow_s

    @property
    def state(self) -> BreakerState:
        """Whether the store is asked: `open` is left alone, `half_open` the next request finds out."""
        return self._breaker.state

    def put(self, key: str, body: bytes | memoryview | BinaryIO, served: Served = NOT_SERVED) -> int:
        """See `Storage.put`."""
        with self._asking():
            return self._storage.put(key, body, served)

    def open(self, key: str) -> BinaryIO:
        """See `Storage.open`."""
        with self._asking():
            return self._storage.open(key)

    def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        with self._asking():
            self._storage.delete(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Storage.list`."""
        return self._storage.list(prefix)

    def url(self, key: str, *, expires_in: timedelta) -> str | None:
        """See `Storage.url`."""
        return self._storage.url(key, expires_in=expires_in)

    def check(self) -> None:
        """See `Storage.check`."""
        with self._asking():
            self._storage.check()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """`StorageUnavailableError` at once while the store is left alone; else note whether it answers in time."""
        if not self._breaker.admit():
            retry_after_s = math.ceil(self._breaker.pause_left_s) or None
            raise StorageUnavailableError("it did not answer and is left alone", retry_after_s=retry_after_s)
        started = time.monotonic()
        is_silent = False
        try:
            yield
        except StorageUnavailableError:
            is_silent = time.monotonic() - started >= self._slow_s
            raise
        finally:
            if is_silent:
                if self._breaker.fail():
                    log.warning("storage_left_alone")
            elif self._breaker.succeed():
                log.info("storage_answers")


def guard(storage: Storage, settings: Settings) -> GuardedStorage:
    """The store behind a breaker of its own, as the settings say."""
    breaker = Breaker(failures=settings.storage_failures, pause_s=settings.storage_pause_s)
    return GuardedStorage(storage, breaker, slow_s=_SLOW * settings.storage_timeout_s)


def open_guarded(settings: Settings) -> GuardedStorage:
    """The store that the settings name, behind a breaker. `ValueError` as `open_storage`."""
    return guard(open_storage(settings), settings)
