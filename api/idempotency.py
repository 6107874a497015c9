"""`Idempotency-Key` on the routes that make something. See `jobs.idempotency` for the rules.

A route reads its body, makes a ticket of the key and the body's fingerprint, asks `look` whether it has replied to
that before, judges the body, and commits with `commit_once`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Header, Request, Response
from sqlalchemy.orm import Session

from db.session import Sessions
from jobs import idempotency
from jobs.idempotency import Reply, Ticket

REPLAYED = "Idempotent-Replayed"

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="A key of the caller's own for this request, up to 255 characters: sent again within 24 hours, "
        "it gets the same reply and makes nothing twice.",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]


@dataclass(frozen=True)
class Answer:
    """What a request is answered, and whether it was before."""

    reply: Reply
    is_replay: bool

    def response(self) -> Response:
        """As it is sent."""
        headers = {**self.reply.headers, **({REPLAYED: "true"} if self.is_replay else {})}
        return Response(self.reply.body, self.reply.status, headers, "application/json")


def make_ticket(request: Request, api_key_id: UUID, given: str | None, fingerprint: str) -> Ticket | None:
    """None where the request has no key. `JobError` `invalid_idempotency_key`."""
    if given is None:
        return None
    route = f"{request.method} {request.url.path}"
    return Ticket(api_key_id, route, idempotency.parse_key(given), fingerprint)


def look(sessions: Sessions, ticket: Ticket | None) -> Answer | None:
    """The reply that was given before. `JobError` `idempotency_key_reused`."""
    if ticket is None:
        return None
    with sessions.begin() as session:
        reply = idempotency.find(session, ticket)
    return None if reply is None else Answer(reply, is_replay=True)


def commit_once(sessions: Sessions, ticket: Ticket | None, make: Callable[[Session], Reply]) -> Answer:
    """Make something and commit it with its reply, or find that it was made: one transaction.

    `JobError` `idempotency_key_reused`, `idempotency_in_flight`, and what `make` raises.
    """
    with sessions.begin() as session:
        before = None if ticket is None else idempotency.begin(session, ticket)
        if before is not None:
            return Answer(before, is_replay=True)
        reply = make(session)
        if ticket is not None:
            idempotency.keep(session, ticket, reply)
    return Answer(reply, is_replay=False)
