"""Jobs that did not end in time: expired, with their event. A worker that finishes first wins, as against a cancel."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import jobs as rows
from db.base import JobStatus
from jobs import events
from jobs.lifecycle import sources


def expire(session: Session, job_ids: Sequence[UUID]) -> int:
    """End jobs whose deadline has passed; returns how many were not final yet."""
    ended = 0
    for job_id in job_ids:
        moved = rows.move(
            session,
            job_id,
            to=JobStatus.EXPIRED,
            from_=sources(JobStatus.EXPIRED),
            attempt=None,
            completed_at=func.now(),
            due_at=None,
        )
        if moved is not None:
            rows.drop_fetch(session, job_id)
            events.record(session, moved)
            ended += 1
    return ended


def expire_overdue(session: Session, *, limit: int) -> int:
    """End up to `limit` jobs whose deadline has passed; for the sweeper."""
    return expire(session, rows.overdue(session, limit=limit))
