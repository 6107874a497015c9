"""Looks at a caller's jobs and batches for those who wait for a change."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from db import watch as rows
from db.batch_models import BadLine, Batch
from db.models import Job
from jobs import batches
from jobs.errors import JobNotFoundError
from jobs.ids import BATCH_PREFIX, job_public_id, parse_id, parse_job_id


def job_topic(public_id: str) -> UUID:
    """What to watch for a job. `JobNotFoundError` where it can be no job's id."""
    job_id = parse_job_id(public_id)
    if job_id is None:
        raise JobNotFoundError(public_id)
    return job_id


def batch_topic(public_id: str) -> UUID:
    """What to watch for a batch. `BatchNotFoundError` where it can be no batch's id."""
    batch_id = parse_id(public_id, BATCH_PREFIX)
    if batch_id is None:
        raise batches.BatchNotFoundError(public_id)
    return batch_id


def peek_job(session: Session, job_id: UUID, *, api_key_id: UUID) -> rows.Peek:
    """Whether a caller's job is final, and the signature of what reading it would show. `JobNotFoundError`."""
    found = rows.peek(session, Job, job_id, api_key_id=api_key_id)
    if found is None:
        raise JobNotFoundError(job_public_id(job_id))
    return found


def look_at_job(session: Session, job_id: UUID, *, api_key_id: UUID) -> tuple[Job, rows.Peek]:
    """The whole job, and a peek of the same moment. `JobNotFoundError`."""
    found = rows.look_at_job(session, job_id, api_key_id=api_key_id)
    if found is None:
        raise JobNotFoundError(job_public_id(job_id))
    return found


def peek_batch(session: Session, batch_id: UUID, *, api_key_id: UUID) -> rows.Peek:
    """Whether a caller's batch is final, and the signature of what reading it would show. `BatchNotFoundError`."""
    found = rows.peek(session, Batch, batch_id, api_key_id=api_key_id)
    if found is None:
        raise batches.BatchNotFoundError(batches.public_id(batch_id))
    return found


def look_at_batch(session: Session, batch_id: UUID, *, api_key_id: UUID) -> tuple[Batch, Sequence[BadLine], rows.Peek]:
    """The batch with the first of its bad lines, and a peek as old or older. `BatchNotFoundError`."""
    found = peek_batch(session, batch_id, api_key_id=api_key_id)
    batch = batches.find(session, batches.public_id(batch_id), api_key_id=api_key_id)
    return batch, batches.sample_of_bad_lines(session, batch), found
