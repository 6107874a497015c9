"""Queries on idempotency keys: replies that were given once and are given again to the same request."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.key_models import IdempotencyKey


def find(session: Session, *, api_key_id: UUID, route: str, key: str) -> IdempotencyKey | None:
    """The stored reply, if there is one."""
    return session.get(IdempotencyKey, (api_key_id, route, key))


def try_lock(session: Session, *, api_key_id: UUID, route: str, key: str) -> bool:
    """Lock a key until the transaction ends; False while another transaction holds it. Nobody waits here."""
    name = func.hashtextextended(f"{api_key_id.hex} {route} {key}", 0)
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(name))))


def keep(session: Session, values: dict[str, Any]) -> bool:
    """Store a reply; False where the key has one already."""
    query = insert(IdempotencyKey).values(**values).on_conflict_do_nothing().returning(IdempotencyKey.key)
    return session.scalar(query) is not None


def scrub(session: Session, subject_id: UUID, body: str) -> None:
    """Put `body` in the place of the replies that told of a thing which is deleted now."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.subject_id == subject_id)
        .values(body=body)
        .execution_options(synchronize_session=False)
    )


def forget(session: Session, *, older_than: timedelta, limit: int) -> int:
    """Remove keys past their retention, by the database's clock; returns how many."""
    old = (
        select(IdempotencyKey.api_key_id, IdempotencyKey.route, IdempotencyKey.key)
        .where(IdempotencyKey.created_at < func.now() - older_than)
        .order_by(IdempotencyKey.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .subquery()
    )
    same = (
        IdempotencyKey.api_key_id == old.c.api_key_id,
        IdempotencyKey.route == old.c.route,
        IdempotencyKey.key == old.c.key,
    )
    return len(session.scalars(delete(IdempotencyKey).where(*same).returning(IdempotencyKey.key)).all())
