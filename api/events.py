"""Server-Sent Events of one topic: its state at once, then after every change, until it is final."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Header, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool

from api.watch import Watcher
from db.session import DATABASE_AWAY
from jobs.errors import JobError

log = structlog.get_logger(__name__)

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="`id` of the last event seen; browsers send it when they reconnect."),
]
EVENTS_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Each event's `data` is the object as reading it would show it.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "The last event was seen, and there will be no other: do not reconnect."},
}

_PING_S = 15.0
_RETRY_MS = 2000
# A stream ends in the end, so that a key that was revoked meanwhile is noticed: clients reconnect by themselves.
_LONGEST_S = 900.0


@dataclass(frozen=True)
class Seen:
    """What one look at a topic found. `event` is its name, `body` the object as JSON."""

    event: str
    body: str
    signature: str
    is_final: bool


async def follow(watcher: Watcher, topic: UUID, *, look: Callable[[], Seen], last_event_id: str | None) -> Response:
    """The stream, or 204 for a reader that has seen the end.

    `look` runs in a thread. What the first one raises is the reply; when a later one fails the stream ends, and the
    client reconnects and is told why.
    """
    watcher.require_room()
    first = await run_in_threadpool(look)
    if first.is_final and last_event_id == first.signature:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # proxies keep back what they buffer
    return EventSourceResponse(_stream(watcher, topic, look, last_event_id), headers=headers)


async def _stream(
    watcher: Watcher, topic: UUID, look: Callable[[], Seen], last_event_id: str | None
) -> AsyncIterator[bytes]:
    ends_at = time.monotonic() + _LONGEST_S
    with watcher.watch(topic) as watch:
        while not watch.is_over and time.monotonic() < ends_at:
            try:
                seen = await run_in_threadpool(look)
            except (JobError, *DATABASE_AWAY) as error:  # deleted meanwhile, or not to be read now
                log.info("events_ended", reason=type(error).__name__)
                return
            watch.seen = seen.signature
            if seen.signature != last_event_id:
                last_event_id = seen.signature
                yield format_sse_event(data_str=seen.body, event=seen.event, id=seen.signature, retry=_RETRY_MS)
            if seen.is_final:
                return
            while not await watch.changed(_PING_S) and not watch.is_over and time.monotonic() < ends_at:
                yield KEEPALIVE_COMMENT
