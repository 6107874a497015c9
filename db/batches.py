"""Queries on batches, their bad lines and their jobs. Nothing is decided here, and nothing committed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, select, text, update
from sqlalchemy.orm import Session, selectinload

from db import outgoing, paging, puts, webhooks
from db.base import JobStatus
from db.batch_models import BadLine, Batch, BatchStatus, Upload
from db.models import Fetch, Job
from db.webhook_models import WebhookEvent

OPEN = (JobStatus.QUEUED, JobStatus.PROCESSING)


def get(session: Session, batch_id: UUID, *, api_key_id: UUID) -> Batch | None:
    """A batch of this key; deleted ones are gone."""
    return session.scalar(
        select(Batch)
        .where(Batch.id == batch_id, Batch.api_key_id == api_key_id, Batch.deleted_at.is_(None))
        .execution_options(populate_existing=True)
    )


def page(
    session: Session,
    *,
    api_key_id: UUID,
    limit: int,
    after: UUID | None,
    before: UUID | None,
    status: BatchStatus | None,
    labels: Mapping[str, str],
) -> tuple[list[Batch], bool]:
    """Up to `limit` batches of this key, newest first, and whether there are more; see `db.paging`."""
    query = select(Batch).where(Batch.api_key_id == api_key_id, Batch.deleted_at.is_(None))
    if status is not None:
        query = query.where(Batch.status == status)
    if labels:
        # The second one is the index's own condition.
        query = query.where(Batch.labels.contains(dict(labels)), Batch.labels != text("'{}'::jsonb"))
    return paging.cut(session, query, Batch.id, limit=limit, after=after, before=before)


def claim(session: Session, *, limit: int, lease_s: float, busy_keys: Collection[UUID]) -> Sequence[Batch]:
    """Take batches that want a worker: attempt + 1, not due again before the lease is over. Not of `busy_keys`."""
    due = (
        select(Batch.id)
        .where(Batch.due_at <= func.now(), Batch.api_key_id.not_in(busy_keys))
        .order_by(Batch.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return session.scalars(
        update(Batch)
        .where(Batch.id.in_(due.scalar_subquery()))
        .values(attempt=Batch.attempt + 1, due_at=func.now() + timedelta(seconds=lease_s))
        .returning(Batch)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).all()


def move(
    session: Session, batch_id: UUID, *, from_: Collection[BatchStatus], attempt: int | None, **values: Any
) -> Batch | None:
    """Change a batch if it stands in one of `from_` and, where `attempt` is given, still under that attempt.

    Without one it is taken away from whoever works on it. Returns it as it now stands, or None when the guard refused:
    someone else was first.
    """
    query = update(Batch).where(Batch.id == batch_id, Batch.status.in_(from_))
    if attempt is not None:
        query = query.where(Batch.attempt == attempt)
    else:
        values = {"attempt": Batch.attempt + 1, **values}
    return session.scalar(
        query.values(**values).returning(Batch).execution_options(synchronize_session=False, populate_existing=True)
    )


def add_bad_lines(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Note lines that can't be run."""
    if rows:
        session.execute(insert(BadLine), rows)


def bad_lines(session: Session, batch_id: UUID, *, after_line: int, limit: int) -> Sequence[BadLine]:
    """Bad lines in their order."""
    return session.scalars(
        select(BadLine)
        .where(BadLine.batch_id == batch_id, BadLine.line > after_line)
        .order_by(BadLine.line)
        .limit(limit)
    ).all()


def bad_line_numbers(session: Session, batch_id: UUID) -> set[int]:
    """The numbers of all bad lines."""
    return set(session.scalars(select(BadLine.line).where(BadLine.batch_id == batch_id)))


def add_jobs(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert jobs in one statement, and the fetches of those whose photo is at a URL."""
    if not rows:
        return
    session.execute(insert(Job), rows)
    fetched = [row["id"] for row in rows if row["source_url"] and row["status"] is JobStatus.QUEUED]
    outgoing.add_fetches(session, fetched)


def jobs_by_id(session: Session, ids: Collection[UUID]) -> Sequence[Job]:
    """These jobs, in no order."""
    return session.scalars(select(Job).where(Job.id.in_(ids))).all()


def end_jobs(session: Session, batch_id: UUID, *, to: JobStatus, limit: int) -> Sequence[Job]:
    """End up to `limit` jobs of a batch that have not ended; rows that a worker just finishes are skipped."""
    chosen = (
        select(Job.id)
        .where(Job.batch_id == batch_id, Job.status.in_(OPEN))
        .order_by(Job.line)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = session.scalars(chosen).all()
    ended = session.scalars(
        update(Job)
        .where(Job.id.in_(ids), Job.status.in_(OPEN))
        .values(
            status=to,
            leased_until=None,
            due_at=None,
            completed_at=func.now(),
            expires_at=func.now() + Job.retention,
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).all()
    session.execute(delete(Fetch).where(Fetch.job_id.in_(ids)))
    puts.drop(session, [job.id for job in ended if job.has_puts])
    return ended


def count(session: Session, batch_id: UUID) -> dict[JobStatus, int]:
    """How many jobs of a batch stand where: `ix_jobs_batch` alone answers."""
    rows = session.execute(select(Job.status, func.count()).where(Job.batch_id == batch_id).group_by(Job.status))
    return {row[0]: row[1] for row in rows}


def verdicts(session: Session, batch_id: UUID) -> dict[str, int]:
    """How many jobs of a batch got which verdict."""
    rows = session.execute(
        select(Job.verdict, func.count())
        .where(Job.batch_id == batch_id, Job.status == JobStatus.SUCCEEDED, Job.verdict.is_not(None))
        .group_by(Job.verdict)
    )
    return {verdict.value: number for verdict, number in rows if verdict is not None}


def running(session: Session, status: BatchStatus, *, limit: int) -> Sequence[Batch]:
    """Lock batches that stand in this status, those counted longest ago first."""
    return session.scalars(
        select(Batch)
        .where(Batch.completed_at.is_(None), Batch.status == status)
        .order_by(Batch.counted_at.nulls_first())
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()


def past_deadline(session: Session, *, limit: int) -> Sequence[UUID]:
    """Batches whose deadline passed before they ended."""
    return session.scalars(
        select(Batch.id)
        .where(
            Batch.completed_at.is_(None),
            Batch.status.in_((BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS)),
            Batch.deadline_at <= func.now(),
        )
        .limit(limit)
    ).all()


def items(
    session: Session,
    batch_id: UUID,
    *,
    after_line: int,
    limit: int,
    statuses: Collection[JobStatus] = (),
    custom_id: str | None = None,
) -> Sequence[Job]:
    """Jobs of a batch by line, with outputs and mattes. Deleted ones are left out."""
    query = (
        select(Job)
        .where(Job.batch_id == batch_id, Job.line > after_line, Job.deleted_at.is_(None))
        .order_by(Job.line)
        .limit(limit)
        .options(selectinload(Job.outputs), selectinload(Job.matte))
    )
    if statuses:
        query = query.where(Job.status.in_(statuses))
    if custom_id is not None:
        query = query.where(Job.custom_id == custom_id)
    return session.scalars(query).all()


def line_of(session: Session, batch_id: UUID, job_id: UUID) -> int | None:
    """The line that a job of the batch was made of."""
    return session.scalar(select(Job.line).where(Job.id == job_id, Job.batch_id == batch_id))


def lines_by_status(session: Session, batch_id: UUID, statuses: Collection[JobStatus]) -> set[int]:
    """The lines whose jobs stand in one of `statuses`."""
    query = select(Job.line).where(Job.batch_id == batch_id, Job.status.in_(statuses), Job.deleted_at.is_(None))
    return {line for line in session.scalars(query) if line is not None}


def deleted_lines(session: Session, batch_id: UUID) -> set[int]:
    """The lines whose jobs their owner deleted."""
    query = select(Job.line).where(Job.batch_id == batch_id, Job.deleted_at.is_not(None))
    return {line for line in session.scalars(query) if line is not None}


def due_for_purge(session: Session, *, older_than: datetime, limit: int) -> Sequence[Batch]:
    """Lock batches that ended before `older_than` and whose manifest is still there."""
    return session.scalars(
        select(Batch)
        .where(Batch.completed_at < older_than, Batch.files_purged_at.is_(None))
        .order_by(Batch.completed_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def purge(session: Session, batch: Batch) -> str | None:
    """Forget a batch's manifest; returns its storage key, to be removed after the commit."""
    key = batch.manifest_key
    session.execute(
        update(Batch)
        .where(Batch.id == batch.id)
        .values(manifest_key=None, files_purged_at=func.now())
        .execution_options(synchronize_session=False)
    )
    return key


def mark_jobs_deleted(session: Session, batch_id: UUID) -> None:
    """Its jobs, which have ended, are gone for their owner; the sweeper finds their files due."""
    session.execute(
        update(Job)
        .where(Job.batch_id == batch_id, Job.deleted_at.is_(None))
        .values(deleted_at=func.now(), expires_at=func.now(), filename=None, labels={}, webhook_url=None)
        .execution_options(synchronize_session=False)
    )
    webhooks.scrub(session, WebhookEvent.job_id.in_(select(Job.id).where(Job.batch_id == batch_id)))
    # Photos of lines that never became jobs; the others go with these.
    session.execute(
        update(Upload)
        .where(Upload.batch_id == batch_id)
        .values(expires_at=func.now(), filename=None)
        .execution_options(synchronize_session=False)
    )


def mark_deleted(session: Session, batch: Batch) -> str | None:
    """From now on it is gone for its owner; returns the manifest's key, to be removed after the commit."""
    manifest = purge(session, batch)
    session.execute(delete(BadLine).where(BadLine.batch_id == batch.id))
    session.execute(
        update(Batch)
        .where(Batch.id == batch.id)
        .values(deleted_at=func.now(), filename=None, labels={}, webhook_url=None, options={})
        .execution_options(synchronize_session=False)
    )
    webhooks.scrub(session, WebhookEvent.batch_id == batch.id)
    return manifest


def forget(session: Session, *, older_than: datetime, limit: int) -> int:
    """Remove the rows of batches that ended before `older_than`, once none of their jobs or photos is left."""
    old = (
        select(Batch.id)
        .where(
            Batch.completed_at < older_than,
            Batch.files_purged_at.is_not(None),
            ~exists().where(Job.batch_id == Batch.id),
            ~exists().where(Upload.batch_id == Batch.id),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return len(session.scalars(delete(Batch).where(Batch.id.in_(old)).returning(Batch.id)).all())
