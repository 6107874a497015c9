"""Waiting for changes without a thread or a connection for each who waits.

One task per process listens on one connection and wakes whoever waits for that topic (a job's or a batch's id). What
was missed while the connection was gone is found by a look at all topics after each reconnect, and every `poll_s`
besides: a notification is a hint, the row is the truth.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import psycopg
import structlog
from starlette.concurrency import run_in_threadpool

from api.problems import ProblemError
from db import watch
from db.session import DATABASE_AWAY, Sessions

log = structlog.get_logger(__name__)

_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
_RECONNECT_S = 0.2
_MAX_RECONNECT_S = 5.0
# Notifications handled before others get their turn: canceling a large batch sends tens of thousands at once.
_BURST = 500
_CHUNK = 1000


class Watch:
    """One who waits for one topic. `seen` is the signature that it saw last: the slow look compares with it."""

    def __init__(self) -> None:
        self.seen: str | None = None
        self.is_over = False
        self._event = asyncio.Event()

    async def changed(self, timeout_s: float) -> bool:
        """Wait for a change; False when time is up, the client is gone or the service stops."""
        if not self.is_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), timeout_s)
        has_changed = self._event.is_set() and not self.is_over
        self._event.clear()
        return has_changed

    def wake(self) -> None:
        """There may be news."""
        self._event.set()

    def end(self) -> None:
        """Wait no longer."""
        self.is_over = True
        self._event.set()


class Watcher:
    """All who wait in this process, and the one listener."""

    def __init__(self, database_url: str, sessions: Sessions, *, poll_s: float, max_waiting: int) -> None:
        self._database_url = database_url
        self._sessions = sessions
        self._poll_s = poll_s
        self._max_waiting = max_waiting
        self._watches: dict[UUID, set[Watch]] = {}
        self._waiting = 0
        self._is_stopping = False

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    def require_room(self) -> None:
        """`ProblemError` `too_many_waiting` when as many wait as may."""
        if self._waiting >= self._max_waiting:
            detail = f"{self._waiting} requests wait here already; poll instead."
            raise ProblemError("too_many_waiting", detail, extra={"type": _REDUCED_CAPACITY})

    @contextmanager
    def watch(self, topic: UUID) -> Iterator[Watch]:
        """Watch a topic. Look at its row after this, not before: what changes from here on wakes."""
        own = Watch()
        if self._is_stopping:
            own.end()
        self._watches.setdefault(topic, set()).add(own)
        self._waiting += 1
        try:
            yield own
        finally:
            self._waiting -= 1
            others = self._watches[topic]
            others.discard(own)
            if not others:
                del self._watches[topic]

    def stop(self) -> None:
        """End every wait, and those that begin from now on."""
        self._is_stopping = True
        for watches in self._watches.values():
            for each in watches:
                each.end()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen meanwhile; every wait ends with it."""
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            self.stop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen(self) -> None:
        """Listen for ever, over lost connections; look at everything after each, and every `poll_s`."""
        pause_s = _RECONNECT_S
        while True:
            try:
                async with watch.listen(self._database_url) as connection:
                    log.info("listening")
                    pause_s = _RECONNECT_S
                    while True:
                        await self._look()
                        await self._hear(connection)
            except psycopg.Error as error:
                log.warning("listener_lost", error=type(error).__name__)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_RECONNECT_S)
            await self._look()

    async def _hear(self, connection: psycopg.AsyncConnection) -> None:
        count = 0
        async for topic in watch.heard(connection, for_s=self._poll_s):
            for each in self._watches.get(topic, ()):
                each.wake()
            count += 1
            if count % _BURST == 0:
                await asyncio.sleep(0)

    async def _look(self) -> None:
        """Wake those whose topic is not as they saw it last."""
        topics = list(self._watches)
        for start in range(0, len(topics), _CHUNK):
            chunk = topics[start : start + _CHUNK]
            try:
                found = await run_in_threadpool(self._signatures, chunk)
            except DATABASE_AWAY as error:
                log.warning("watch_look_failed", error=type(error).__name__)
                return
            for topic in chunk:
                for each in self._watches.get(topic, ()):
                    if each.seen is not None and each.seen != found.get(topic):
                        each.wake()

    def _signatures(self, topics: list[UUID]) -> dict[UUID, str]:
        with self._sessions.begin() as session:
            return watch.signatures(session, topics)
