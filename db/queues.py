"""How long the queue of a key is: its jobs that have not ended, and lines of its batches on their way to be jobs."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.base import JobStatus
from db.batch_models import Batch, BatchStatus
from db.models import Job


def count_open(session: Session, api_key_id: UUID, *, at_most: int) -> int:
    """Jobs of a key that are not final, counted up to `at_most`, and lines of its running batches that become jobs.

    One statement, so that no line is missed that becomes a job meanwhile. Of jobs it reads `ix_jobs_list_status` alone.
    """
    is_open = Job.status.in_([JobStatus.QUEUED, JobStatus.PROCESSING])
    query = select(Job.id).where(Job.api_key_id == api_key_id, is_open, Job.deleted_at.is_(None)).limit(at_most)
    jobs = select(func.count()).select_from(query.subquery()).scalar_subquery()
    lines = (
        select(func.coalesce(func.sum(Batch.total - Batch.made), 0))
        .where(
            Batch.completed_at.is_(None),
            Batch.api_key_id == api_key_id,
            Batch.status == BatchStatus.IN_PROGRESS,
            Batch.due_at.is_not(None),
        )
        .scalar_subquery()
    )
    return int(session.scalars(select(jobs + lines)).one())


def lock_queue(session: Session, api_key_id: UUID) -> None:
    """Until the transaction ends no other batch of this key is let into its queue."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(api_key_id.hex, 2))))
