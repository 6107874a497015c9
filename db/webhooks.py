"""Queries on webhook endpoints and events. Deliveries are in `db.deliveries`."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, cast, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from db import paging
from db.webhook_models import EVENT_SEQUENCE, DisabledReason, WebhookDelivery, WebhookEndpoint, WebhookEvent


def add(session: Session, endpoint: WebhookEndpoint) -> None:
    """Insert an endpoint."""
    session.add(endpoint)
    session.flush()


def count(session: Session, api_key_id: UUID) -> int:
    """How many endpoints a key has."""
    return session.scalars(select(func.count()).select_from(_owned(api_key_id).subquery())).one()


def get(session: Session, endpoint_id: UUID, *, api_key_id: UUID, lock: bool = False) -> WebhookEndpoint | None:
    """An endpoint of this key; with `lock` nobody else changes it, or settles its deliveries, until the commit."""
    query = _owned(api_key_id).where(WebhookEndpoint.id == endpoint_id)
    if lock:
        query = query.with_for_update(key_share=True)
    return session.scalar(query.execution_options(populate_existing=True))


def lock(session: Session, endpoint_id: UUID) -> WebhookEndpoint:
    """Lock an endpoint before any of its deliveries is settled: in one order, nobody waits in a circle."""
    return session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def page(
    session: Session, *, api_key_id: UUID, limit: int, after: UUID | None, before: UUID | None
) -> tuple[list[WebhookEndpoint], bool]:
    """Up to `limit` endpoints of this key, newest first, and whether there are more in that direction."""
    return paging.cut(session, _owned(api_key_id), WebhookEndpoint.id, limit=limit, after=after, before=before)


def not_pulled(session: Session, *, since: timedelta, limit: int) -> Sequence[WebhookEndpoint]:
    """Lock endpoints without a URL that no listener has asked for longer than `since`."""
    asked_at = func.coalesce(WebhookEndpoint.pulled_at, WebhookEndpoint.created_at)
    return session.scalars(
        select(WebhookEndpoint)
        .where(
            WebhookEndpoint.url.is_(None),
            WebhookEndpoint.disabled_at.is_(None),
            asked_at < func.now() - since,
        )
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()


def disable(session: Session, endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
    """Tell an endpoint, which the caller has locked, of nothing more."""
    endpoint.disabled_at = session.scalars(func.now()).one()
    endpoint.disabled_reason = reason
    session.flush()


def forget(session: Session, *, older_than: timedelta, limit: int) -> int:
    """Remove old tests of endpoints, then deleted endpoints that no delivery names. Returns how many rows."""
    tests = (
        select(WebhookEvent.id)
        .where(
            WebhookEvent.job_id.is_(None),
            WebhookEvent.batch_id.is_(None),
            WebhookEvent.created_at < func.now() - older_than,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    endpoints = (
        select(WebhookEndpoint.id)
        .where(
            WebhookEndpoint.deleted_at.is_not(None), ~exists().where(WebhookDelivery.endpoint_id == WebhookEndpoint.id)
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    removed = [
        *session.scalars(delete(WebhookEvent).where(WebhookEvent.id.in_(tests)).returning(WebhookEvent.id)),
        *session.scalars(
            delete(WebhookEndpoint).where(WebhookEndpoint.id.in_(endpoints)).returning(WebhookEndpoint.id)
        ),
    ]
    return len(removed)


def _owned(api_key_id: UUID) -> Select[WebhookEndpoint]:
    return select(WebhookEndpoint).where(WebhookEndpoint.api_key_id == api_key_id, WebhookEndpoint.deleted_at.is_(None))


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


def scrub(session: Session, which: ColumnElement[bool]) -> None:
    """An event of a deleted thing that is still under way tells of the end, and of nothing that the caller wrote."""
    body = func.jsonb_set(cast(WebhookEvent.body, JSONB), text("'{data,labels}'"), text("'{}'::jsonb"))
    session.execute(
        update(WebhookEvent).where(which).values(body=cast(body, Text)).execution_options(synchronize_session=False)
    )
