"""Queries on webhook endpoints and events. Deliveries on their way are in `db.outgoing`."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.webhook_models import EVENT_SEQUENCE, WebhookDelivery, WebhookEndpoint, WebhookEvent


def listening(session: Session, key_ids: Collection[UUID]) -> Sequence[WebhookEndpoint]:
    """The endpoints of these keys that are not disabled."""
    return session.scalars(
        select(WebhookEndpoint).where(
            WebhookEndpoint.api_key_id.in_(key_ids),
            WebhookEndpoint.deleted_at.is_(None),
            WebhookEndpoint.disabled_at.is_(None),
        )
    ).all()


def next_sequences(session: Session, count: int) -> Sequence[int]:
    """The next `count` numbers of events."""
    return session.scalars(select(EVENT_SEQUENCE.next_value()).select_from(func.generate_series(1, count))).all()


def add_events(session: Session, events: Sequence[dict[str, Any]]) -> set[UUID]:
    """Insert events; returns the ids of those that are new: of the others' type their subject has one already."""
    query = insert(WebhookEvent).on_conflict_do_nothing().returning(WebhookEvent.id)
    return set(session.scalars(query, events))


def add_deliveries(session: Session, deliveries: Sequence[dict[str, Any]]) -> None:
    """Insert deliveries."""
    if deliveries:
        session.execute(insert(WebhookDelivery), deliveries)
