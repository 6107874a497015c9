"""How long a caller wants to wait, and the wait itself."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Request
from starlette.concurrency import run_in_threadpool

from api.context import Context
from api.watch import Watch, Watcher
from db.batch_models import BadLine, Batch
from db.models import Job
from db.watch import Peek
from jobs.watching import look_at_batch, look_at_job, peek_batch, peek_job

MAX_WAIT_S = 60

Wait = Annotated[
    int | None,
    Query(
        ge=1,
        le=MAX_WAIT_S,
        description="Seconds to wait: with `If-None-Match` for any change, otherwise for the end. Then the reply is "
        "what stands at that time.",
    ),
]
IfNoneMatch = Annotated[str | None, Header(description="ETag of a copy at hand; 304 while it is still the same.")]
Prefer = Annotated[
    str | None,
    Header(
        description="`wait=n` (RFC 7240): up to n seconds, 60 at most, for the end of what is made. The reply's "
        "`Preference-Applied` tells what was taken; other preferences are ignored.",
        examples=["wait=30"],
    ),
]

_WAIT = re.compile(r'wait(?:\s*=\s*(?:"?([0-9]{1,9})"?))?', re.IGNORECASE)


def preferred_wait(header: str | None) -> int | None:
    """Seconds that `Prefer` asks to wait, 60 at most and where it names none; None where it does not ask.

    RFC 7240 section 2: what can't be understood is ignored, and of several the first counts.
    """
    for preference in (header or "").split(","):
        found = _WAIT.fullmatch(preference.split(";")[0].strip())
        if found is not None:
            wait_s = MAX_WAIT_S if found[1] is None else int(found[1])
            return min(wait_s, MAX_WAIT_S) or None
    return None


def etag(signature: str) -> str:
    """Weak: the same state, whatever its spelling."""
    return f'W/"{signature}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether a copy at hand is the one with this ETag (RFC 9110 section 13.1.2, weak comparison)."""
    given = (each.strip() for each in (if_none_match or "").split(","))
    return any(each == "*" or each.removeprefix("W/") == tag.removeprefix("W/") for each in given)


async def settle(
    request: Request,
    watcher: Watcher,
    topic: UUID,
    *,
    peek: Callable[[], Peek],
    is_enough: Callable[[Peek], bool],
    wait_s: float,
) -> Peek:
    """Look now and after each change, until it is enough, time is up, the client is gone or the service stops.

    Between the looks it holds neither thread nor connection. `peek` runs in a thread; what it raises ends the wait.
    """
    if wait_s <= 0:
        return await run_in_threadpool(peek)
    deadline = time.monotonic() + wait_s
    watcher.require_room()
    with watcher.watch(topic) as watch, _ended_by_leaving(request, watch):
        while True:
            found = await run_in_threadpool(peek)
            watch.seen = found.signature
            if is_enough(found):
                return found
            if not await watch.changed(deadline - time.monotonic()):
                # Time is up: look once more, should a notification have been lost. Nobody left needs that.
                return found if watch.is_over else await run_in_threadpool(peek)


@contextmanager
def _ended_by_leaving(request: Request, watch: Watch) -> Iterator[None]:
    """End the watch when the client is gone."""

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        watch.end()

    task = asyncio.create_task(leave())
    try:
        yield
    finally:
        task.cancel()


async def settle_known(
    request: Request,
    watcher: Watcher,
    topic: UUID,
    *,
    peek: Callable[[], Peek],
    wait_s: int | None,
    if_none_match: str | None,
) -> Peek | None:
    """For a reader of a topic: wait as it asks to; the peek if its copy at hand is still the same.

    With a copy it waits for any change, without one for the end.
    """
    if wait_s is None and if_none_match is None:
        return None

    def is_known(found: Peek) -> bool:
        return matches(if_none_match, etag(found.signature))

    def is_enough(found: Peek) -> bool:
        return found.is_final if if_none_match is None else not is_known(found)

    found = await settle(request, watcher, topic, peek=peek, is_enough=is_enough, wait_s=wait_s or 0)
    return found if is_known(found) else None


def poll_headers(found: Peek, poll_s: int) -> dict[str, str]:
    """The `ETag`, and when to look again where there is more to come."""
    return {"ETag": etag(found.signature), **({} if found.is_final else {"Retry-After": str(poll_s)})}


def peek_in(context: Context, job_id: UUID, caller: UUID) -> Peek:
    """`jobs.watching.peek_job` in a session of its own."""
    with context.autocommit() as session:
        return peek_job(session, job_id, api_key_id=caller)


def look_in(context: Context, job_id: UUID, caller: UUID) -> tuple[Job, Peek]:
    """`jobs.watching.look_at_job` in a session of its own."""
    with context.autocommit() as session:
        return look_at_job(session, job_id, api_key_id=caller)


def peek_batch_in(context: Context, batch_id: UUID, caller: UUID) -> Peek:
    """`jobs.watching.peek_batch` in a transaction of its own."""
    with context.sessions.begin() as session:
        return peek_batch(session, batch_id, api_key_id=caller)


def look_at_batch_in(context: Context, batch_id: UUID, caller: UUID) -> tuple[Batch, Sequence[BadLine], Peek]:
    """`jobs.watching.look_at_batch` in a transaction of its own."""
    with context.sessions.begin() as session:
        return look_at_batch(session, batch_id, api_key_id=caller)
