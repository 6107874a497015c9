"""What calls have in common: one request and its JSON, waiting for an end, keys of their own."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

from packshot_client.errors import ApiError, ConflictError, NoAnswerError, UnexpectedReplyError, WaitTimeoutError
from packshot_client.models import Page
from packshot_client.reading import read
from packshot_client.retries import retry_after_s
from packshot_client.steps import Pause, Plan, Reply, Request

T = TypeVar("T")

MAX_WAIT_S = 60
"""The longest that the service holds a request."""
PAGE = 100
"""The longest page of a list."""
_POLL_S = 1.0
_EARLY = 0.9  # of the wait asked for: a reply that comes sooner did not wait


class Ending(Protocol):
    """A job or a batch."""

    @property
    def id(self) -> str:
        """Its public id."""

    @property
    def status(self) -> str:
        """How far it is."""

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""


E = TypeVar("E", bound=Ending)
Lister: TypeAlias = Callable[[str | None], Plan[Page[E]]]
"""Reads the page behind an entry's id; the first one for None."""


def segment(text: str) -> str:
    """An id or a name as one segment of a path."""
    return quote(text, safe="")


def keyed(idempotency_key: str | None) -> dict[str, str]:
    """The header that makes a POST safe to repeat."""
    return {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}


def send(request: Request) -> Plan[Reply]:
    """One request; its reply of success. `ApiError`, `NoAnswerError`."""
    reply: Reply = yield request
    return reply


def fetch(kind: type[T], request: Request) -> Plan[T]:
    """One request; its reply as `kind`."""
    return read(kind, json_of((yield from send(request))))


def json_of(reply: Reply) -> dict[str, Any]:
    """The reply's object. `UnexpectedReplyError`."""
    try:
        body = json.loads(reply.body)
    except ValueError as error:
        raise UnexpectedReplyError(
            f"The reply is not JSON: {reply.body[:80]!r}. Is this the URL of Packshot?"
        ) from error
    if not isinstance(body, dict):
        raise UnexpectedReplyError(f"The reply is no object: {reply.body[:80]!r}.")
    return body


def page_of(kind: type[T], path: str, params: Mapping[str, object]) -> Plan[Page[T]]:
    """One page of a list; parameters that are None are left out."""
    query = {name: str(value) for name, value in params.items() if value is not None}
    body = json_of((yield from send(Request("GET", path, params=query))))
    entries = body.get("data")
    if not isinstance(entries, list):
        raise UnexpectedReplyError("The reply is no list.")
    return Page(tuple(read(kind, entry) for entry in entries), body.get("has_more") is True)


def cancel(kind: type[E], path: str) -> Plan[E]:
    """Cancel a job or a batch. One that is canceled already is no error: an earlier try may have done it."""
    request = Request("POST", f"{path}/cancel", headers=keyed(None))
    try:
        return (yield from fetch(kind, request))
    except ConflictError:
        now = yield from fetch(kind, Request("GET", path))
        if now.status not in {"canceled", "canceling"}:
            raise
        return now


def wait(
    kind: type[E],
    path: str,
    *,
    timeout_s: float | None,
    is_enough: Callable[[E], bool] = attrgetter("is_final"),
    hold: bool = True,
) -> Plan[E]:
    """Read until it has ended, by long-poll; a service that is away for a while is waited for, too.

    Without `hold` it polls, for what the service does not wait for.
    `WaitTimeoutError` after `timeout_s`; None waits for ever, and then errors that last are raised.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = MAX_WAIT_S if deadline is None else deadline - time.monotonic()
        wait_s = max(min(int(left_s), MAX_WAIT_S), 0) if hold else 0
        params = {"wait": str(wait_s)} if wait_s else {}
        pause_s = _POLL_S
        try:
            reply = yield from send(Request("GET", path, params=params, wait_s=wait_s))
        except (ApiError, NoAnswerError) as error:
            if deadline is None or time.monotonic() >= deadline or not _may_pass(error):
                raise
            # A service with too many waiting is polled.
            hold = hold and not (isinstance(error, ApiError) and error.code == "too_many_waiting")
        else:
            found = read(kind, json_of(reply))
            if is_enough(found):
                return found
            pause_s = 0.0 if wait_s and reply.took_s >= wait_s * _EARLY else retry_after_s(reply.headers) or _POLL_S
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(f"{found.id} is {found.status} after {timeout_s:g} s.")
        if deadline is not None:
            pause_s = max(min(pause_s, deadline - time.monotonic()), 0.0)
        if pause_s:
            yield Pause(pause_s)


def _may_pass(error: ApiError | NoAnswerError) -> bool:
    return isinstance(error, NoAnswerError) or error.retryable
