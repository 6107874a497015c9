"""Looks at a caller's jobs for those who wait for a change."""

from uuid import UUID

from sqlalchemy.orm import Session

from db import watch as rows
from db.models import Job
from jobs import service
from jobs.errors import JobNotFoundError
from jobs.ids import job_public_id, parse_job_id


def job_topic(public_id: str) -> UUID:
    """What to watch for a job. `JobNotFoundError` where it can be no job's id."""
    job_id = parse_job_id(public_id)
    if job_id is None:
        raise JobNotFoundError(public_id)
    return job_id


def peek_job(session: Session, job_id: UUID, *, api_key_id: UUID) -> rows.Peek:
    """Whether a caller's job is final, and the signature of what reading it would show. `JobNotFoundError`."""
    found = rows.peek(session, Job, job_id, api_key_id=api_key_id)
    if found is None:
        raise JobNotFoundError(job_public_id(job_id))
    return found


def look_at_job(session: Session, job_id: UUID, *, api_key_id: UUID) -> tuple[Job, rows.Peek]:
    """The whole job, and a peek that is as old or older: a change in between shows once more. `JobNotFoundError`."""
    found = peek_job(session, job_id, api_key_id=api_key_id)
    return service.find(session, job_public_id(job_id), api_key_id=api_key_id), found
