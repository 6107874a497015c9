"""The same request sent twice makes one thing and gets one reply (Stripe's rules and the IETF's Idempotency-Key draft).

A reply is committed with what it tells of, in one transaction, so there is no moment at which one is there without the
other. A key is scoped to the caller and the route. What was refused is not stored: mended, it may be sent again.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from db import idempotency as rows
from jobs.errors import JobError

MAX_LENGTH = 255


@dataclass(frozen=True)
class Ticket:
    """A request that wants to be done once. `fingerprint` is the sha256 of what it asks for."""

    api_key_id: UUID
    route: str
    key: str
    fingerprint: str

    @property
    def scope(self) -> dict[str, Any]:
        """What finds the row."""
        return {"api_key_id": self.api_key_id, "route": self.route, "key": self.key}


@dataclass(frozen=True)
class Reply:
    """A reply as it is sent; `body` is JSON. `subject_id`: the row it tells of, whose deletion scrubs it."""

    status: int
    headers: dict[str, str]
    body: str
    subject_id: UUID | None


def parse_key(given: str) -> str:
    """A key out of its header: 1 to 255 visible ASCII characters, with or without the draft's quotes around them.

    `JobError` `invalid_idempotency_key`.
    """
    key = given.strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if not key or len(key) > MAX_LENGTH or not (key.isascii() and key.isprintable()):
        raise JobError("invalid_idempotency_key", f"Idempotency-Key has 1 to {MAX_LENGTH} ASCII characters.")
    return key


def find(session: Session, ticket: Ticket) -> Reply | None:
    """The reply that this request was given before. `JobError` `idempotency_key_reused` for another request's key."""
    stored = rows.find(session, **ticket.scope)
    if stored is None:
        return None
    if stored.fingerprint != ticket.fingerprint:
        detail = "This Idempotency-Key was sent before, with another request. Each request needs one of its own."
        raise JobError("idempotency_key_reused", detail)
    return Reply(stored.status, stored.headers, stored.body, stored.subject_id)


def begin(session: Session, ticket: Ticket) -> Reply | None:
    """Hold the key until the transaction ends; the reply if it was given meanwhile.

    `JobError` `idempotency_in_flight` while another transaction holds it, `idempotency_key_reused`.
    """
    if not rows.try_lock(session, **ticket.scope):
        raise _in_flight()
    return find(session, ticket)


def keep(session: Session, ticket: Ticket, reply: Reply) -> None:
    """Store the reply, in the transaction that makes what it tells of."""
    if not rows.keep(session, {**ticket.scope, "fingerprint": ticket.fingerprint, **vars(reply)}):
        raise _in_flight()


def scrub(session: Session, subject_id: UUID, *, public_id: str, kind: str) -> None:
    """A deleted thing's replies tell no more than that."""
    rows.scrub(session, subject_id, json.dumps({"id": public_id, "object": kind, "deleted": True}))


def _in_flight() -> JobError:
    return JobError("idempotency_in_flight", "A request with this Idempotency-Key is being worked on; try again.")
