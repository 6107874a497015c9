"""Queries on API keys and their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, case, func, or_, select, update
from sqlalchemy.orm import Session, selectinload

from db import paging
from db.key_models import ApiKey, ApiKeySecret
from db.models import Job

# Noting every use would write a row per request; the minute is close enough.
_USE_GRAIN = timedelta(minutes=1)


def _is_live() -> ColumnElement[bool]:
    """Not revoked, not expired, by the database's clock."""
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())


@dataclass(frozen=True)
class Secret:
    """A valid secret of a live key, as a check needs it. `is_stale`: its use is to be noted."""

    sha256: str
    is_stale: bool
    key_id: UUID
    scopes: list[str]
    requests_per_minute: int | None
    megapixels_per_minute: int | None
    queue_depth: int | None
    files_retention: timedelta | None


def by_short(session: Session, short: str) -> Secret | None:
    """The valid secret with this public part."""
    row = session.execute(_by_short(), {"short": short}).one_or_none()
    return None if row is None else Secret(*row)


@cache  # asked by every request
def _by_short() -> Select[*tuple[Any, ...]]:
    is_stale = or_(ApiKeySecret.last_used_at.is_(None), ApiKeySecret.last_used_at < func.now() - _USE_GRAIN)
    limits = (ApiKey.requests_per_minute, ApiKey.megapixels_per_minute, ApiKey.queue_depth, ApiKey.files_retention)
    return (
        select(ApiKeySecret.sha256, is_stale, ApiKey.id, ApiKey.scopes, *limits)
        .join(ApiKeySecret.key)
        .where(
            ApiKeySecret.short == bindparam("short"),
            or_(ApiKeySecret.expires_at.is_(None), ApiKeySecret.expires_at > func.now()),
            _is_live(),
        )
    )


def owner_of_job(session: Session, job_id: UUID) -> UUID | None:
    """The live key that a job belongs to; None where the job is not there for it any more."""
    query = select(Job.api_key_id).join(ApiKey, ApiKey.id == Job.api_key_id)
    return session.scalar(query.where(Job.id == job_id, Job.deleted_at.is_(None), _is_live()))


def files_retention(session: Session, key_id: UUID) -> timedelta | None:
    """How long files of this key's jobs stay; None where the service's own time counts."""
    return session.scalar(select(ApiKey.files_retention).where(ApiKey.id == key_id))


def note_use(session: Session, short: str) -> None:
    """Remember that the secret was used."""
    session.execute(
        update(ApiKeySecret)
        .where(ApiKeySecret.short == short)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )


def add(session: Session, key: ApiKey) -> None:
    """Insert a key with its first secret."""
    session.add(key)
    session.flush()


def add_secret(session: Session, secret: ApiKeySecret) -> None:
    """Insert a further secret of a key."""
    session.add(secret)
    session.flush()


def end_secrets(session: Session, key_id: UUID, *, overlap: timedelta) -> None:
    """Let the newest secret end after `overlap` and those before it at once: a rotation leaves two at most."""
    newest = (
        select(ApiKeySecret.short)
        .where(ApiKeySecret.api_key_id == key_id)
        .order_by(ApiKeySecret.created_at.desc(), ApiKeySecret.short)
        .limit(1)
        .scalar_subquery()
    )
    is_newest = ApiKeySecret.short == newest
    for which, ends_at in ((is_newest, func.now() + overlap), (~is_newest, func.now())):
        session.execute(
            update(ApiKeySecret)
            .where(ApiKeySecret.api_key_id == key_id, which)
            .values(expires_at=func.least(ApiKeySecret.expires_at, ends_at))
            .execution_options(synchronize_session=False)
        )


def get(session: Session, key_id: UUID) -> ApiKey | None:
    """A key with its secrets, ended or not."""
    return session.scalar(
        select(ApiKey)
        .where(ApiKey.id == key_id)
        .options(selectinload(ApiKey.secrets))
        .execution_options(populate_existing=True)
    )


def live(session: Session, key_id: UUID) -> ApiKey | None:
    """A key that is live."""
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, _is_live()))


def lock_live(session: Session, key_id: UUID) -> ApiKey | None:
    """A live key, locked against another rotation until commit."""
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, _is_live()).with_for_update(key_share=True))


def id_by_short(session: Session, short: str) -> UUID | None:
    """The key that a secret belongs to, by the secret's public part."""
    return session.scalar(select(ApiKeySecret.api_key_id).where(ApiKeySecret.short == short))


def page(
    session: Session, *, limit: int, after: UUID | None = None, before: UUID | None = None
) -> tuple[Sequence[ApiKey], bool]:
    """Keys with their secrets, newest first; see `db.paging`."""
    query = select(ApiKey).options(selectinload(ApiKey.secrets))
    return paging.cut(session, query, ApiKey.id, limit=limit, after=after, before=before)


def all_keys(session: Session) -> Sequence[ApiKey]:
    """Every key with its secrets, oldest first."""
    return session.scalars(
        select(ApiKey).options(selectinload(ApiKey.secrets)).order_by(ApiKey.created_at, ApiKey.id)
    ).all()


def set_retention(session: Session, key_id: UUID, retention: timedelta | None) -> None:
    """How long files of a key's further jobs stay."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id)
        .values(files_retention=retention)
        .execution_options(synchronize_session=False)
    )


def revoke(session: Session, key_id: UUID) -> bool:
    """End a key with all its secrets; False where it is none, or revoked already."""
    ended = session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
        .execution_options(synchronize_session=False)
    )
    return ended is not None


def webhook_secrets(session: Session, key_id: UUID) -> list[str]:
    """The secrets that sign what goes to the URLs of this key's jobs: the newest, and for a while the one before."""
    previous = case((ApiKey.previous_webhook_secret_until > func.now(), ApiKey.previous_webhook_secret))
    newest, before = session.execute(select(ApiKey.webhook_secret, previous).where(ApiKey.id == key_id)).one()
    return [newest] if before is None else [newest, before]


def replace_webhook_secret(session: Session, key_id: UUID, secret: str, *, overlap: timedelta) -> None:
    """The newest secret is the one before from now on, for `overlap`; one from before that is forgotten."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id)
        .values(
            webhook_secret=secret,
            previous_webhook_secret=ApiKey.webhook_secret,
            previous_webhook_secret_until=func.now() + overlap,
        )
        .execution_options(synchronize_session=False)
    )
