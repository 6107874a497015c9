"""Deliveries: claimed under a lease, settled exactly once, read, replayed."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from config.tracing import trace_id_of
from db import deliveries as rows
from db import keys
from db import webhooks as endpoint_rows
from db.deliveries import Filters, Target
from db.delivery_claims import lane_of
from db.webhook_models import DeliveryStatus, DisabledReason, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from jobs.errors import JobError
from jobs.event_types import PING
from jobs.ids import BATCH_PREFIX, DELIVERY_PREFIX, EVENT_PREFIX, job_public_id, new_id, parse_id
from jobs.webhooks import Attempt, Judgement, classify, ease_off, next_attempt_at

# A good call is noted on the endpoint to the minute: noting each would write one row over and over.
_GRAIN = timedelta(minutes=1)
_SPREAD = 0.1  # what was held back together does not come back together


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery in a worker's hands. `attempt` fences: only this attempt may settle it."""

    id: UUID
    attempt: int
    number: int  # of the try, from 1, since the event was made or last replayed: where the schedule stands
    target: Target
    url: str
    event_id: str
    body: bytes
    secrets: tuple[str, ...]  # the newest first; more than one after a rotation
    event_type: str
    job_id: UUID | None = None  # what the event is about; neither for a ping
    batch_id: UUID | None = None
    traceparent: str | None = None

    @property
    def lane(self) -> str:
        """What one slow receiver is known by, as `db.deliveries.claim` sees it."""
        return lane_of(self.target.endpoint_id, self.url)

    @property
    def is_ping(self) -> bool:
        """Whether it is a test of its endpoint."""
        return self.event_type == PING

    @property
    def host(self) -> str:
        """The authority of its URL, which may have a secret in its path."""
        return lane_of(None, self.url)

    @property
    def about(self) -> dict[str, object]:
        """What a log tells it by."""
        subject: dict[str, object] = {"event_id": self.event_id, "attempt": self.attempt}
        if self.job_id is not None:
            subject["job_id"] = job_public_id(self.job_id)
        if self.batch_id is not None:
            subject["batch_id"] = BATCH_PREFIX + self.batch_id.hex
        if self.traceparent is not None:
            subject["trace_id"] = trace_id_of(self.traceparent)
        return subject


class DeliveryNotFoundError(JobError):
    """No such delivery for this caller."""

    def __init__(self, public_id: str) -> None:
        super().__init__("not_found", f"There is no webhook delivery {public_id}.")


class EndpointDisabledError(JobError):
    """The endpoint is told of nothing until it is enabled."""

    def __init__(self, reason: DisabledReason | None) -> None:
        why = f" ({reason.value})" if reason else ""
        super().__init__("endpoint_disabled", f"The endpoint is disabled{why}; enable it first.")


def claim(session: Session, *, limit: int, lease_s: float, busy_lanes: Collection[str] = ()) -> list[ClaimedDelivery]:
    """Take due deliveries with all that a worker needs to send them. Those of disabled endpoints end here."""
    now = session.scalars(func.now()).one()
    claimed = []
    for delivery in rows.claim(session, limit=limit, lease_s=lease_s, busy_lanes=busy_lanes):
        if delivery.endpoint is not None and delivery.endpoint.disabled_at is not None:
            rows.settle(
                session, delivery.id, attempt=delivery.attempt, status=DeliveryStatus.CANCELED, completed_at=now
            )
        else:
            claimed.append(_claimed(session, delivery, now))
    return claimed


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
        number=delivery.attempt - delivery.attempts_before,
        target=Target(delivery.api_key_id, delivery.endpoint_id, delivery.url),
        url=url,
        event_id=EVENT_PREFIX + delivery.event_id.hex,
        body=delivery.event.body.encode(),
        secrets=tuple(secrets),
        event_type=delivery.event.type,
        job_id=delivery.event.job_id,
        batch_id=delivery.event.batch_id,
        traceparent=delivery.event.traceparent,
    )


def secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """The secrets that sign what an endpoint gets: the newest, and for a while the one before."""
    until = endpoint.previous_secret_until
    if endpoint.previous_secret is None or until is None or until <= now:
        return [endpoint.secret]
    return [endpoint.secret, endpoint.previous_secret]


def settle(
    session: Session, delivery: ClaimedDelivery, attempt: Attempt, *, rng: random.Random, disable_after: timedelta
) -> bool:
    """Record a try and what follows from it. False, and nothing recorded, when the delivery is no longer ours.

    An endpoint that says 410, or has failed for longer than `disable_after`, is disabled. One that is overloaded, or
    has failed for a while, is left alone with all else that waits for it.
    """
    target = delivery.target
    endpoint = endpoint_rows.lock(session, target.endpoint_id) if target.endpoint_id else None
    now = session.scalars(func.now()).one()
    judgement = classify(attempt.http_status)
    outcome = _outcome(delivery, judgement, attempt, now=now, rng=rng)
    if not rows.settle(session, delivery.id, attempt=delivery.attempt, **outcome):
        return False
    _log(session, delivery, attempt)
    if endpoint is not None:
        _note(session, endpoint, judgement, now=now, disable_after=disable_after)
    elif judgement is Judgement.GONE:
        rows.give_up(session, target, DeliveryStatus.GONE)
    if judgement not in {Judgement.DELIVERED, Judgement.GONE}:
        _hold_back(session, target, endpoint, outcome.get("due_at"), judgement, attempt, now)
    return True


def _outcome(
    delivery: ClaimedDelivery, judgement: Judgement, attempt: Attempt, *, now: datetime, rng: random.Random
) -> dict[str, Any]:
    """The delivery's columns after a try. A ping is tried once: whoever sent it looks at the log."""
    if judgement is Judgement.DELIVERED:
        return {"status": DeliveryStatus.DELIVERED, "completed_at": now}
    if judgement is Judgement.GONE:
        return {"status": DeliveryStatus.GONE, "completed_at": now}
    again_at = next_attempt_at(delivery.number, judgement, now=now, retry_after_s=attempt.retry_after_s, rng=rng)
    if again_at is None or delivery.is_ping:
        return {"status": DeliveryStatus.EXHAUSTED, "completed_at": now}
    return {"status": DeliveryStatus.PENDING, "due_at": again_at}


def _log(session: Session, delivery: ClaimedDelivery, attempt: Attempt) -> None:
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


def _note(
    session: Session, endpoint: WebhookEndpoint, judgement: Judgement, *, now: datetime, disable_after: timedelta
) -> None:
    """What a try tells of its endpoint, which is locked."""
    if judgement is Judgement.DELIVERED:
        endpoint.failing_since = None
        if endpoint.delivered_at is None or endpoint.delivered_at < now - _GRAIN:
            endpoint.delivered_at = now
    elif judgement is Judgement.GONE:
        disable(session, endpoint, DisabledReason.GONE)
    else:
        endpoint.failing_since = endpoint.failing_since or now
        if now - endpoint.failing_since >= disable_after:
            disable(session, endpoint, DisabledReason.FAILING)
    session.flush()


def _hold_back(
    session: Session,
    target: Target,
    endpoint: WebhookEndpoint | None,
    due_at: datetime | None,
    judgement: Judgement,
    attempt: Attempt,
    now: datetime,
) -> None:
    """Leave the rest of the backlog alone: as long as the receiver asked for, or as it has failed long."""
    if due_at is not None and (judgement is Judgement.THROTTLE or attempt.retry_after_s > 0):
        pause = due_at - now
    elif endpoint is not None and endpoint.failing_since is not None:
        pause = ease_off(now - endpoint.failing_since)
    else:
        return
    if pause:
        rows.hold_back(session, target, now + pause, spread=pause * _SPREAD)


def disable(session: Session, endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
    """Tell an endpoint, which is locked, of nothing more, and end what is on its way to it."""
    if endpoint.disabled_at is None:
        endpoint_rows.disable(session, endpoint, reason)
        rows.give_up(session, Target(endpoint.api_key_id, endpoint.id, None), DeliveryStatus.CANCELED)


def find(session: Session, public_id: str, *, api_key_id: UUID) -> WebhookDelivery:
    """A caller's delivery with event and endpoint. `DeliveryNotFoundError`."""
    delivery_id = parse_id(public_id, DELIVERY_PREFIX)
    delivery = rows.get(session, delivery_id, api_key_id=api_key_id) if delivery_id else None
    if delivery is None:
        raise DeliveryNotFoundError(public_id)
    return delivery


def page(
    session: Session, *, api_key_id: UUID, filters: Filters, limit: int, after: UUID | None, before: UUID | None
) -> tuple[list[WebhookDelivery], bool]:
    """Up to `limit` of a caller's deliveries, newest first, and whether there are more in that direction."""
    return rows.page(session, api_key_id=api_key_id, filters=filters, limit=limit, after=after, before=before)


def log_of(session: Session, delivery: WebhookDelivery) -> Sequence[WebhookAttempt]:
    """Every try of a delivery, oldest first."""
    return rows.attempts(session, delivery.id)


def replay(session: Session, public_id: str, *, api_key_id: UUID) -> WebhookDelivery:
    """Send a delivery once more, now, under the same event id, whatever came of it; its schedule starts anew.

    `DeliveryNotFoundError`, `EndpointDisabledError`.
    """
    delivery = find(session, public_id, api_key_id=api_key_id)
    if delivery.endpoint is not None and delivery.endpoint.disabled_at is not None:
        raise EndpointDisabledError(delivery.endpoint.disabled_reason)
    rows.replay(session, delivery.id)
    return find(session, public_id, api_key_id=api_key_id)
