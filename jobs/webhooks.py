"""Webhooks as values: what is signed, what an answer means, when to try again; and the rows that keep the schedule.

Follows Standard Webhooks 1.0.0 (standardwebhooks.com): at least once, unordered, `webhook-id` the same over retries.
"""

import base64
import hashlib
import hmac
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import keys, outgoing
from db.webhook_models import DeliveryStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from jobs.fetching import host_of
from jobs.ids import EVENT_PREFIX, new_id

# Pauses after the first try, the second, ...: ten tries within about three days.
SCHEDULE = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
_JITTER = 0.1  # so that what failed together does not come back together
_THROTTLE = timedelta(minutes=1)  # least pause after an overloaded server's answer
_MAX_RETRY_AFTER = timedelta(hours=24)
_GONE = 410
_OVERLOADED = frozenset({429, 502, 504})


class Judgement(Enum):
    """What an answer, or none, means for a delivery."""

    DELIVERED = auto()  # 2xx
    GONE = auto()  # 410: the receiver wants no more
    THROTTLE = auto()  # 429, 502, 504: the receiver is overloaded
    RETRY = auto()  # everything else; a redirect is not followed, so it is a failure too


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery in a worker's hands. `attempt` fences: only this attempt may settle it."""

    id: UUID
    attempt: int
    url: str
    event_id: str
    body: bytes
    secrets: tuple[str, ...]  # the newest first; more than one after a rotation

    @property
    def host(self) -> str:
        """The authority of the URL, as `db.outgoing.host_of` sees it."""
        return host_of(self.url)


@dataclass(frozen=True)
class Attempt:
    """One POST and what came back: a status, or a sentence why there is none."""

    http_status: int | None
    error: str | None
    excerpt: str | None
    took_ms: int
    retry_after_s: float = 0.0


def signed_headers(secrets: Sequence[str], *, event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks, signed by each secret (`whsec_` and base64); `now` has a zone."""
    timestamp = str(int(now.timestamp()))
    message = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, message) for secret in secrets),
    }


def _signature(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()}"


def classify(http_status: int | None) -> Judgement:
    """What an answer means; None is no answer."""
    if http_status is None:
        return Judgement.RETRY
    if 200 <= http_status < 300:  # noqa: PLR2004 - the class of success
        return Judgement.DELIVERED
    if http_status == _GONE:
        return Judgement.GONE
    return Judgement.THROTTLE if http_status in _OVERLOADED else Judgement.RETRY


def next_attempt_at(
    attempt: int, judgement: Judgement, *, now: datetime, retry_after_s: float, rng: random.Random
) -> datetime | None:
    """When to try again after failed try number `attempt` (from 1), or None when that was the last one.

    The schedule and up to a tenth more; `Retry-After`, up to a day, where that is later.
    """
    if attempt > len(SCHEDULE):
        return None
    pause = SCHEDULE[attempt - 1]
    if judgement is Judgement.THROTTLE:
        pause = max(pause, _THROTTLE)
    asked = min(timedelta(seconds=retry_after_s), _MAX_RETRY_AFTER)
    return now + max(pause * (1 + rng.uniform(0, _JITTER)), asked)


def claim(session: Session, *, limit: int, lease_s: float, busy_hosts: Collection[str] = ()) -> list[ClaimedDelivery]:
    """Take due deliveries with all that a worker needs to send them."""
    now = session.scalars(func.now()).one()
    return [
        _claimed(session, delivery, now)
        for delivery in outgoing.claim_deliveries(session, limit=limit, lease_s=lease_s, busy_hosts=busy_hosts)
    ]


def _claimed(session: Session, delivery: WebhookDelivery, now: datetime) -> ClaimedDelivery:
    endpoint = delivery.endpoint
    url = delivery.url or (endpoint.url if endpoint else None)
    if url is None:
        message = f"a delivery to nowhere is due: {delivery.id}"
        raise AssertionError(message)
    secrets = secrets_of(endpoint, now) if endpoint else keys.webhook_secrets(session, delivery.api_key_id)
    return ClaimedDelivery(
        id=delivery.id,
        attempt=delivery.attempt,
        url=url,
        event_id=EVENT_PREFIX + delivery.event_id.hex,
        body=delivery.event.body.encode(),
        secrets=tuple(secrets),
    )


def secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """The secrets that sign what an endpoint gets: the newest, and for a while the one before."""
    until = endpoint.previous_secret_until
    if endpoint.previous_secret is None or until is None or until <= now:
        return [endpoint.secret]
    return [endpoint.secret, endpoint.previous_secret]


def settle(session: Session, delivery: ClaimedDelivery, attempt: Attempt, *, rng: random.Random) -> bool:
    """Record a try and what follows from it. False, and nothing recorded, when the delivery is no longer ours."""
    settled = outgoing.settle_delivery(
        session,
        delivery.id,
        attempt=delivery.attempt,
        **_consequence(delivery.attempt, attempt, now=session.scalars(func.now()).one(), rng=rng),
    )
    if settled:
        row = WebhookAttempt(
            id=new_id(),
            delivery_id=delivery.id,
            number=delivery.attempt,
            http_status=attempt.http_status,
            error=attempt.error,
            response_excerpt=attempt.excerpt,
            took_ms=attempt.took_ms,
        )
        session.add(row)
        session.flush()
    return settled


def _consequence(number: int, attempt: Attempt, *, now: datetime, rng: random.Random) -> dict[str, object]:
    """The delivery's columns after a try."""
    judgement = classify(attempt.http_status)
    if judgement is Judgement.DELIVERED:
        return {"status": DeliveryStatus.DELIVERED, "completed_at": now}
    if judgement is Judgement.GONE:
        return {"status": DeliveryStatus.GONE, "completed_at": now}
    again_at = next_attempt_at(number, judgement, now=now, retry_after_s=attempt.retry_after_s, rng=rng)
    if again_at is None:
        return {"status": DeliveryStatus.EXHAUSTED, "completed_at": now}
    return {"due_at": again_at}
