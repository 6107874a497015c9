"""How a batch ends: its jobs are ended or counted, and its own end is one commit with its event."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import batches as rows
from db.base import JobStatus
from db.batch_models import Batch, BatchStatus
from jobs import events
from jobs.batch_work import put_off
from jobs.progress import smoothed_rate


def end_some(session: Session, batch: Batch, *, limit: int) -> tuple[bool, bool]:
    """End some of the jobs of a batch that is canceling. (whether to go on, whether somebody is to be told)."""
    if not _holds(session, batch):
        return False, False
    final = _final(batch)
    to = JobStatus.EXPIRED if final is BatchStatus.EXPIRED else JobStatus.CANCELED
    ended = rows.end_jobs(session, batch.id, to=to, limit=limit)
    heard = sum(events.record(session, job) for job in ended) > 0
    counts = rows.count(session, batch.id)
    if any(counts.get(status) for status in rows.OPEN):
        if not ended:  # what is left is in the hands of workers that finish it at this moment
            put_off(session, batch, timedelta(seconds=1))
        return bool(ended), heard
    return False, _end(session, batch, final, counts, from_=BatchStatus.CANCELING) or heard


def _final(batch: Batch) -> BatchStatus:
    """What a batch that is canceling will be: its error, its owner or its deadline stopped it."""
    if batch.error_code is not None:
        return BatchStatus.FAILED
    return BatchStatus.EXPIRED if batch.canceled_at is None else BatchStatus.CANCELED


def _holds(session: Session, batch: Batch) -> bool:
    """Whether the batch is still ours; nobody takes it away before the transaction ends."""
    return rows.move(session, batch.id, from_={batch.status}, attempt=batch.attempt, status=batch.status) is not None


def expire(session: Session, batch_id: UUID) -> bool:
    """The deadline of a batch passed: what has not ended is ended by a worker."""
    moved = rows.move(
        session,
        batch_id,
        from_={BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS},
        attempt=None,
        status=BatchStatus.CANCELING,
        due_at=func.now(),
    )
    return moved is not None


def take_stock(session: Session, batch: Batch) -> bool:
    """Count the jobs of a locked batch in progress. Whether all have ended: then the batch is finalizing."""
    counts = rows.count(session, batch.id)
    is_through = batch.due_at is None and not any(counts.get(status) for status in rows.OPEN)
    sums = _sums(counts)
    now = session.scalars(func.now()).one()
    since = batch.counted_at or batch.started_at or now
    ended = sum(sums.values()) - (batch.succeeded + batch.failed + batch.canceled)
    rows.move(
        session,
        batch.id,
        from_={BatchStatus.IN_PROGRESS},
        attempt=batch.attempt,
        status=BatchStatus.FINALIZING if is_through else BatchStatus.IN_PROGRESS,
        counted_at=now,
        rate_per_s=smoothed_rate(batch.rate_per_s, ended, (now - since).total_seconds()),
        **sums,
    )
    return is_through


def complete(session: Session, batch: Batch) -> bool:
    """End a locked batch that is finalizing, with its event. Whether somebody is to be told."""
    counts = rows.count(session, batch.id)
    return _end(session, batch, BatchStatus.COMPLETED, counts, from_=BatchStatus.FINALIZING)


def _end(
    session: Session, batch: Batch, to: BatchStatus, counts: Mapping[JobStatus, int], *, from_: BatchStatus
) -> bool:
    """The last count and the batch's event, in one commit. Whether somebody is to be told."""
    sums = _sums(counts)
    # Lines that never became jobs are canceled, or past their deadline, with the rest.
    never = max(0, batch.total - sum(counts.values()))
    sums["failed" if to is BatchStatus.EXPIRED else "canceled"] += never
    ended = rows.move(
        session,
        batch.id,
        from_={from_},
        attempt=batch.attempt,
        status=to,
        due_at=None,
        completed_at=func.now(),
        counted_at=func.now(),
        verdicts=rows.verdicts(session, batch.id),
        **sums,
    )
    return ended is not None and events.record_batch(session, ended)


def _sums(counts: Mapping[JobStatus, int]) -> dict[str, int]:
    """The counts as a caller sees them: a job whose deadline passed counts as failed."""
    return {
        "succeeded": counts.get(JobStatus.SUCCEEDED, 0),
        "failed": counts.get(JobStatus.FAILED, 0) + counts.get(JobStatus.EXPIRED, 0),
        "canceled": counts.get(JobStatus.CANCELED, 0),
    }
