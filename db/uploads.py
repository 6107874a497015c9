"""Queries on uploads: photos stored ahead of their jobs."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from db.batch_models import Upload
from db.models import Job


def add(session: Session, rows: Sequence[dict[str, Any]], *, retention: timedelta) -> None:
    """Name stored photos; they expire after `retention`, by the database's clock."""
    expires_at = session.scalars(func.now()).one() + retention
    session.execute(insert(Upload), [{"expires_at": expires_at, **row} for row in rows])


def get(session: Session, upload_id: UUID, *, api_key_id: UUID) -> Upload | None:
    """An upload of this key that has not expired. Photos out of a ZIP are its batch's and no upload to a caller."""
    return session.scalar(
        select(Upload).where(
            Upload.id == upload_id,
            Upload.api_key_id == api_key_id,
            Upload.batch_id.is_(None),
            Upload.expires_at > func.now(),
        )
    )


def usable(session: Session, ids: Collection[UUID], *, api_key_id: UUID, at_least: timedelta) -> dict[UUID, Upload]:
    """Those of the uploads that this key may use; each stays for `at_least` from now on.

    Photos out of a ZIP stay as long as a job needs them, so a further run of their batch may use them that long.
    """
    is_there = (Upload.expires_at > func.now()) | Upload.batch_id.is_not(None)
    kept = session.scalars(
        update(Upload)
        .where(Upload.id.in_(ids), Upload.api_key_id == api_key_id, is_there)
        .values(expires_at=func.greatest(Upload.expires_at, func.now() + at_least))
        .returning(Upload)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return {upload.id: upload for upload in kept}


def take(session: Session, ids: Collection[UUID], *, api_key_id: UUID) -> dict[UUID, Upload]:
    """The uploads for jobs to be inserted now: none is removed before that is committed."""
    query = select(Upload).where(Upload.id.in_(ids), Upload.api_key_id == api_key_id)
    return {row.id: row for row in session.scalars(query.with_for_update(read=True, key_share=True))}


def of_batch(session: Session, batch_id: UUID, *, after_line: int, limit: int) -> Sequence[Upload]:
    """Photos out of a batch's ZIP, by line."""
    return session.scalars(
        select(Upload)
        .where(Upload.batch_id == batch_id, Upload.line > after_line)
        .order_by(Upload.line)
        .limit(limit)
        .with_for_update(read=True, key_share=True)
    ).all()


def expire(session: Session, upload_id: UUID) -> None:
    """From now on it is gone for its owner; its file stays as long as a job needs it."""
    session.execute(
        update(Upload)
        .where(Upload.id == upload_id)
        .values(expires_at=func.now(), filename=None)
        .execution_options(synchronize_session=False)
    )


def remove_expired(session: Session, *, limit: int) -> list[str]:
    """Remove expired uploads that no job needs; returns their storage keys.

    Locked first, then looked at: a job that is just being inserted holds a key share, and is seen once it commits.
    """
    unused = ~exists().where(Job.upload_id == Upload.id)
    ids = session.scalars(
        select(Upload.id)
        .where(Upload.expires_at <= func.now(), unused)
        .order_by(Upload.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    return list(session.scalars(delete(Upload).where(Upload.id.in_(ids), unused).returning(Upload.key)))
