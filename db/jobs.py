"""Queries on jobs, their outputs and their mattes. Nothing is decided here, and nothing committed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, selectinload

from db import paging, puts, webhooks
from db.base import JobStatus, Verdict
from db.claims import Row, Table
from db.models import Fetch, Job, Matte, Output
from db.webhook_models import WebhookEvent

_OF_THE_FILE = ("key", "sha256", "width", "height", "bytes", "verdict", "reasons", "facts")


def move(
    session: Session,
    row_id: UUID,
    *,
    to: JobStatus,
    from_: Collection[JobStatus],
    attempt: int | None,
    table: type[Row] = Job,  # type: ignore[assignment]
    **values: Any,
) -> Row | None:
    """Change a row's status if it stands in one of `from_`, and, where `attempt` is given, still under that attempt.

    Returns the row as it now stands, or None when the guard refused: someone else was first. A lease ends with it,
    and with a job's `completed_at` the retention of its files begins. Of what has ended nothing is put any more.
    """
    query = update(table).where(table.id == row_id, table.status.in_(from_))
    if attempt is not None:
        # What is made is in no worker's hands any more, though its attempt is the last one.
        query = query.where(table.attempt == attempt, table.made_at.is_(None))
    values = {"status": to, "leased_until": None, **values}
    if "completed_at" in values and table is Job:
        values["expires_at"] = values["completed_at"] + Job.retention
    moved = session.scalar(
        query.values(**values).returning(table).execution_options(synchronize_session=False, populate_existing=True),
    )
    if moved is not None and moved.has_puts and moved.completed_at is not None:
        if isinstance(moved, Job):
            puts.drop(session, [moved.id])
        else:
            puts.drop(session, [moved.job_id], name=moved.name)
    return moved


def put_off(session: Session, row_id: UUID, pause: timedelta, *, table: Table) -> None:
    """Due again after a pause, by the database's clock."""
    session.execute(
        update(table)
        .where(table.id == row_id)
        .values(due_at=func.now() + pause)
        .execution_options(synchronize_session=False)
    )


def get(session: Session, job_id: UUID, *, api_key_id: UUID) -> Job | None:
    """A job of this key with its outputs and matte; deleted ones are gone."""
    return session.scalar(
        select(Job)
        .where(Job.id == job_id, Job.api_key_id == api_key_id, Job.deleted_at.is_(None))
        .options(selectinload(Job.outputs), selectinload(Job.matte))
    )


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows; None and the empty labels let all through. Each one has an index of its own."""

    status: JobStatus | None = None
    verdict: Verdict | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    batch_id: UUID | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        equal = {
            Job.status: self.status,
            Job.verdict: self.verdict,
            Job.model_version: self.model,
            Job.batch_id: self.batch_id,
        }
        found: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
        if self.labels:
            # The second one is the index's own condition.
            found += [Job.labels.contains(dict(self.labels)), Job.labels != text("'{}'::jsonb")]
        # Ids carry the time at which they were made, so the index of ids serves; the row's own time decides.
        if self.created_after is not None:
            found += [Job.id >= _first_id(self.created_after, -_ID_SLACK), Job.created_at >= self.created_after]
        if self.created_before is not None:
            found += [Job.id < _first_id(self.created_before, _ID_SLACK), Job.created_at < self.created_before]
        return found


EVERY = JobFilter()
_ID_SLACK = timedelta(hours=1)
"""An id is made before its row, by another clock."""


def _first_id(at: datetime, later: timedelta) -> UUID:
    """The least UUIDv7 (RFC 9562) of the moment that much later; `at` may be the first or the last that there is."""
    milliseconds = min(max(int((at.timestamp() + later.total_seconds()) * 1000), 0), (1 << 48) - 1)
    return UUID(int=milliseconds << 80)


def lock_photo(session: Session, api_key_id: UUID, input_sha256: str) -> None:
    """Until the transaction ends nobody else looks for, or makes, a like job of this photo of this key."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{api_key_id.hex} {input_sha256}", 1))))


def find_like(
    session: Session, *, api_key_id: UUID, input_sha256: str, params: dict[str, Any], webhook_url: str | None
) -> UUID | None:
    """The oldest job of this photo with these options that is under way or has succeeded with its files there."""
    query = select(Job.id).where(
        Job.api_key_id == api_key_id,
        Job.input_sha256 == input_sha256,
        Job.files_purged_at.is_(None),
        Job.deleted_at.is_(None),
        Job.status.in_([JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.SUCCEEDED]),
        Job.params == params,
    )
    if webhook_url is not None:
        query = query.where(Job.webhook_url == webhook_url)
    return session.scalar(query.order_by(Job.id).limit(1))


def page(
    session: Session,
    *,
    api_key_id: UUID,
    limit: int,
    after: UUID | None,
    before: UUID | None,
    wanted: JobFilter = EVERY,
) -> tuple[list[Job], bool]:
    """Up to `limit` jobs of this key, newest first, and whether there are more; see `db.paging`."""
    query = (
        select(Job)
        .where(Job.api_key_id == api_key_id, Job.deleted_at.is_(None), *wanted.clauses())
        .options(selectinload(Job.outputs), selectinload(Job.matte))
    )
    return paging.cut(session, query, Job.id, limit=limit, after=after, before=before)


def expired_leases(session: Session, table: type[Row], *, limit: int) -> Sequence[Row]:
    """Lock rows whose worker went silent: the lease ran out, by the database's clock."""
    return session.scalars(
        select(table)
        .where(table.status == JobStatus.PROCESSING, table.leased_until < func.now())
        .order_by(table.leased_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def overdue(session: Session, *, limit: int) -> Sequence[UUID]:
    """Lock jobs that are not final and whose deadline has passed, by the database's clock."""
    return session.scalars(
        select(Job.id)
        .where(Job.deadline_at <= func.now(), Job.completed_at.is_(None))
        .order_by(Job.deadline_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def lock(session: Session, job_id: UUID) -> None:
    """Lock a job's row until the transaction ends: before its fetch, its outputs and its PUTs (`db.puts`)."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))


def add_outputs(session: Session, outputs: Sequence[Output]) -> None:
    """Name the files that were made for a job."""
    session.add_all(outputs)
    session.flush()


def find_matte(
    session: Session,
    *,
    api_key_id: UUID,
    input_sha256: str,
    existing_alpha: str,
    model_version: str,
    runtime: str,
) -> Matte | None:
    """The stored matte of this photo for this key; it can't be purged until the transaction ends."""
    return session.scalar(
        select(Matte)
        .where(
            Matte.api_key_id == api_key_id,
            Matte.input_sha256 == input_sha256,
            Matte.existing_alpha == existing_alpha,
            Matte.model_version == model_version,
            Matte.runtime == runtime,
        )
        .with_for_update(read=True, key_share=True)
    )


def keep_matte(session: Session, matte: dict[str, Any]) -> UUID:
    """Store a matte's row; returns its id. A row that is there already gets the new file, as its own may be lost.

    The file that no row names any more is swept as an orphan.
    """
    query = insert(Matte).values(**matte)
    kept: UUID | None = session.scalar(
        query.on_conflict_do_update(
            constraint="uq_mattes_source", set_={name: matte[name] for name in _OF_THE_FILE}
        ).returning(Matte.id)
    )
    if kept is None:
        message = "an upsert returned no row"
        raise AssertionError(message)
    return kept


def queue_depths(session: Session) -> Sequence[tuple[str, int, float]]:
    """(status, count, age of the oldest in seconds) of jobs that are not final."""
    age = func.extract("epoch", func.now() - func.min(Job.created_at))
    rows = session.execute(select(Job.status, func.count(), age).where(Job.completed_at.is_(None)).group_by(Job.status))
    return [(str(status.value), count, float(seconds or 0)) for status, count, seconds in rows]


def mark_deleted(session: Session, job_id: UUID) -> None:
    """From now on the job is gone for its owner; the row goes with row retention."""
    session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(deleted_at=func.now(), filename=None, labels={}, webhook_url=None)
        .execution_options(synchronize_session=False)
    )
    webhooks.scrub(session, WebhookEvent.job_id == job_id)


def drop_fetch(session: Session, job_id: UUID) -> None:
    """A canceled job's photo is not downloaded any more."""
    session.execute(delete(Fetch).where(Fetch.job_id == job_id))
