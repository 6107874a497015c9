"""Queries on webhook deliveries: rows with leases of their own, as in `db.outgoing`.

A lease is a due time moved into the future; the attempt number is the fencing token.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, joinedload

from db import delivery_claims, paging
from db.claims import take_turn
from db.key_models import ApiKey
from db.webhook_models import DeliveryStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent

OPEN = (DeliveryStatus.PENDING, DeliveryStatus.HELD)
FAILED = (DeliveryStatus.EXHAUSTED, DeliveryStatus.GONE, DeliveryStatus.CANCELED)


@dataclass(frozen=True)
class Target:
    """Where deliveries go: to an endpoint, or to the URL that jobs of a key name."""

    api_key_id: UUID
    endpoint_id: UUID | None
    url: str | None

    @property
    def rows(self) -> ColumnElement[bool]:
        """The deliveries that go there."""
        if self.endpoint_id is not None:
            return WebhookDelivery.endpoint_id == self.endpoint_id
        return (WebhookDelivery.api_key_id == self.api_key_id) & (WebhookDelivery.url == self.url)


@dataclass(frozen=True)
class Filters:
    """Which of a key's deliveries; None is any."""

    endpoint_id: UUID | None = None
    event_id: UUID | None = None
    job_id: UUID | None = None
    batch_id: UUID | None = None
    status: DeliveryStatus | None = None


def add(session: Session, deliveries: Sequence[dict[str, Any]]) -> None:
    """Insert deliveries."""
    if deliveries:
        lanes = [delivery_claims.lane_md5(row["endpoint_id"], row["url"]) for row in deliveries]
        rows = [{**row, "lane_md5": lane} for row, lane in zip(deliveries, lanes, strict=True)]
        session.execute(insert(WebhookDelivery), rows)


def claim(
    session: Session, *, limit: int, lease_s: float, busy_lanes: Collection[str] = ()
) -> Sequence[WebhookDelivery]:
    """Take due deliveries with event and endpoint: attempt + 1, not due again before the lease is over.

    Keys take turns. Those of `busy_lanes` are left; a lane is what `db.delivery_claims.lane_of` says.
    """
    due = delivery_claims.DELIVERIES.lock_due(session, limit=limit, busy=busy_lanes)
    claimed = {delivery.id: delivery for delivery in _lease(session, due, lease_s=lease_s)} if due else {}
    key_ids = sorted({delivery.api_key_id for delivery in claimed.values()})
    take_turn(session, key_ids, column=ApiKey.last_notified_at)
    return [claimed[delivery_id] for delivery_id in due]


def pull(session: Session, endpoint_id: UUID, *, limit: int, lease_s: float) -> Sequence[WebhookDelivery]:
    """Take held deliveries of an endpoint, oldest first: attempt + 1, not held again before the lease is over."""
    held = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.endpoint_id == endpoint_id,
            WebhookDelivery.status == DeliveryStatus.HELD,
            WebhookDelivery.due_at <= func.now(),
        )
        .order_by(WebhookDelivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _lease(session, held.scalar_subquery(), lease_s=lease_s)


def _lease(session: Session, ids: Any, *, lease_s: float) -> Sequence[WebhookDelivery]:
    leased = session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids))
        .values(attempt=WebhookDelivery.attempt + 1, due_at=func.now() + timedelta(seconds=lease_s))
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    ).all()
    return session.scalars(
        select(WebhookDelivery)
        .where(WebhookDelivery.id.in_(leased))
        .options(joinedload(WebhookDelivery.event), joinedload(WebhookDelivery.endpoint))
        .order_by(WebhookDelivery.id)
    ).all()


def settle(session: Session, delivery_id: UUID, *, attempt: int, status: DeliveryStatus, **values: Any) -> bool:
    """Record how a delivery went; False when the attempt is not the last one.

    What arrived has arrived, even if its endpoint was disabled meanwhile.
    """
    arrived = status is DeliveryStatus.DELIVERED
    left = (DeliveryStatus.PENDING, DeliveryStatus.CANCELED) if arrived else (DeliveryStatus.PENDING,)
    settled = session.scalar(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == delivery_id,
            WebhookDelivery.attempt == attempt,
            WebhookDelivery.status.in_(left),
        )
        .values(status=status, **values)
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return settled is not None


def acknowledge(session: Session, endpoint_id: UUID, ids: Collection[UUID]) -> int:
    """What a listener pulled has arrived. Returns how many of them were still held."""
    arrived = session.scalars(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.endpoint_id == endpoint_id,
            WebhookDelivery.id.in_(ids),
            WebhookDelivery.status == DeliveryStatus.HELD,
            WebhookDelivery.attempt > 0,
        )
        .values(status=DeliveryStatus.DELIVERED, completed_at=func.now())
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(arrived.all())


def hold_back(session: Session, target: Target, until: datetime, *, spread: timedelta) -> None:
    """Put off what else is due for a target until `until` and up to `spread` later. Leased rows are not touched."""
    due = (
        select(WebhookDelivery.id)
        .where(target.rows, WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.due_at <= func.now())
        .with_for_update(skip_locked=True)
    )
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(due))
        .values(due_at=until + func.random() * spread)
        .execution_options(synchronize_session=False)
    )


def give_up(session: Session, target: Target, to: DeliveryStatus) -> None:
    """End all that is still on its way to a target."""
    session.execute(
        update(WebhookDelivery)
        .where(target.rows, WebhookDelivery.status.in_(OPEN))
        .values(status=to, completed_at=func.now())
        .execution_options(synchronize_session=False)
    )


def get(session: Session, delivery_id: UUID, *, api_key_id: UUID) -> WebhookDelivery | None:
    """A delivery of this key with event and endpoint."""
    return session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.api_key_id == api_key_id)
        .options(joinedload(WebhookDelivery.event), joinedload(WebhookDelivery.endpoint))
        .execution_options(populate_existing=True)
    )


def attempts(session: Session, delivery_id: UUID) -> Sequence[WebhookAttempt]:
    """The log of a delivery, oldest first."""
    return session.scalars(
        select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id).order_by(WebhookAttempt.number)
    ).all()


def page(
    session: Session, *, api_key_id: UUID, filters: Filters, limit: int, after: UUID | None, before: UUID | None
) -> tuple[list[WebhookDelivery], bool]:
    """Up to `limit` deliveries of this key, newest first, and whether there are more in that direction."""
    query = (
        select(WebhookDelivery)
        .where(WebhookDelivery.api_key_id == api_key_id)
        .options(joinedload(WebhookDelivery.event), joinedload(WebhookDelivery.endpoint))
    )
    if filters.status is not None:
        query = query.where(WebhookDelivery.status == filters.status)
    if filters.endpoint_id is not None:
        query = query.where(WebhookDelivery.endpoint_id == filters.endpoint_id)
    if filters.event_id is not None:
        query = query.where(WebhookDelivery.event_id == filters.event_id)
    for column, subject in ((WebhookEvent.job_id, filters.job_id), (WebhookEvent.batch_id, filters.batch_id)):
        if subject is not None:
            of_subject = select(WebhookEvent.id).where(column == subject)
            query = query.where(WebhookDelivery.event_id.in_(of_subject))
    return paging.cut(session, query, WebhookDelivery.id, limit=limit, after=after, before=before)


def replay(session: Session, delivery_id: UUID) -> None:
    """Due now, whatever came of it; the schedule starts anew."""
    _replay(session, WebhookDelivery.id == delivery_id)


def replay_failed(session: Session, endpoint_id: UUID, since: datetime) -> int:
    """Due now: what was made since then and failed for good, or failed and waits for its next try."""
    # The last try is on record once it is over, so this leaves alone what a worker holds.
    tried = exists().where(
        WebhookAttempt.delivery_id == WebhookDelivery.id, WebhookAttempt.number == WebhookDelivery.attempt
    )
    waits = (WebhookDelivery.status == DeliveryStatus.PENDING) & tried
    return _replay(
        session,
        (WebhookDelivery.endpoint_id == endpoint_id)
        & (WebhookDelivery.created_at >= since)
        & (WebhookDelivery.status.in_(FAILED) | waits),
    )


def _replay(session: Session, which: ColumnElement[bool]) -> int:
    is_pulled = exists().where(WebhookEndpoint.id == WebhookDelivery.endpoint_id, WebhookEndpoint.url.is_(None))
    replayed = session.scalars(
        update(WebhookDelivery)
        .where(which)
        .values(
            status=case((is_pulled, DeliveryStatus.HELD.value), else_=DeliveryStatus.PENDING.value),
            attempts_before=WebhookDelivery.attempt,
            due_at=func.now(),
            completed_at=None,
        )
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(replayed.all())
