"""Queries on API keys."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from db.models import ApiKey

# Noting every use would write a row per request; the minute is close enough.
_USE_GRAIN = timedelta(minutes=1)


def by_short(session: Session, short: str) -> ApiKey | None:
    """The live key with this public part: not revoked, not expired, by the database's clock."""
    return session.scalar(
        select(ApiKey).where(
            ApiKey.short == short,
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
        )
    )


def note_use(session: Session, key_id: UUID) -> None:
    """Remember that the key was used, to the minute."""
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == key_id,
            or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - _USE_GRAIN),
        )
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )


def all_keys(session: Session) -> Sequence[ApiKey]:
    """Every key, oldest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)).all()


def revoke(session: Session, short: str) -> bool:
    """End a key; False where no live key has this public part."""
    ended = session.scalar(
        update(ApiKey)
        .where(ApiKey.short == short, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
        .execution_options(synchronize_session=False)
    )
    return ended is not None


def webhook_secret(session: Session, key_id: UUID) -> str:
    """The secret that signs this key's webhooks."""
    return session.scalars(select(ApiKey.webhook_secret).where(ApiKey.id == key_id)).one()
