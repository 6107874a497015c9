"""What may happen to a job: submit, cancel, delete, and the reads. Rules take a session; entry points commit."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import jobs as rows
from db import keys, outgoing, purging, puts
from db.base import JobStatus
from db.jobs import EVERY, JobFilter
from db.models import Job
from jobs import events, idempotency
from jobs.cursors import cursors
from jobs.errors import FieldError, JobError, JobNotCancelableError, JobNotFoundError
from jobs.ids import JOB_PREFIX, job_public_id, parse_job_id
from jobs.lifecycle import FINAL, sources
from jobs.put_params import rows_of
from jobs.schedule import too_long_kept
from jobs.values import NewJob, StoredInput


def submit(session: Session, new: NewJob) -> Job:
    """Insert a job: due at once when its photo is stored, else after its fetch."""
    # It has no outputs and no matte yet, which need not be asked for. What the database fills in, the insert returns.
    job = Job(**columns_of(new), outputs=[], matte=None)
    is_fetched = isinstance(new.source, str)
    if not is_fetched:
        job.due_at = func.now()
    session.add(job)
    session.flush()
    if is_fetched:
        outgoing.add_fetches(session, [job.id])
    puts.add(session, rows_of(new.puts, new.id, new.api_key_id, new.priority))
    events.record_queued(session, [job])
    return job


def columns_of(new: NewJob) -> dict[str, Any]:
    """The columns of a new job's row, the same ones for every job; all but its due time, which the clock gives."""
    unknown = {f"input_{field.name}": None for field in fields(StoredInput)}
    photo = unknown if isinstance(new.source, str) else input_columns(new.source)
    item = dict.fromkeys(("batch_id", "line", "custom_id")) if new.item is None else vars(new.item)
    return {
        "id": new.id,
        "api_key_id": new.api_key_id,
        "status": JobStatus.QUEUED,
        "params": new.params.to_json(),
        "filename": new.filename,
        "webhook_url": new.webhook_url,
        "base_url": new.base_url,
        "labels": dict(new.labels),
        "retention": new.retention,
        "priority": new.priority,
        "deadline_at": new.deadline,
        "source_url": new.source if isinstance(new.source, str) else None,
        "upload_id": new.upload_id,
        "is_quiet": new.is_quiet,
        "traceparent": new.traceparent,
        "has_puts": bool(new.puts),
        **photo,
        **item,
    }


def input_columns(stored: StoredInput) -> dict[str, Any]:
    """The columns that tell of a stored photo."""
    return {f"input_{name}": value for name, value in vars(stored).items()}


def find(session: Session, public_id: str, *, api_key_id: UUID) -> Job:
    """A caller's job with outputs and matte. `JobNotFoundError` for another key's job as for no job."""
    job_id = parse_job_id(public_id)
    job = rows.get(session, job_id, api_key_id=api_key_id) if job_id else None
    if job is None:
        raise JobNotFoundError(public_id)
    return job


def page(
    session: Session,
    *,
    api_key_id: UUID,
    limit: int,
    starting_after: str | None = None,
    ending_before: str | None = None,
    wanted: JobFilter = EVERY,
) -> tuple[Sequence[Job], bool]:
    """Up to `limit` of a caller's jobs, newest first, and whether there are more in that direction.

    Cursors are job ids, so a page is stable while new jobs arrive. `JobError` `invalid_cursor`.
    """
    after, before = cursors(JOB_PREFIX, starting_after, ending_before)
    return rows.page(session, api_key_id=api_key_id, limit=limit, after=after, before=before, wanted=wanted)


def like(session: Session, new: NewJob) -> Job | None:
    """The key's job of the same photo and options that is under way or has succeeded: none need be made.

    Where `new` wants to be told by webhook, a job that tells another URL, or none, is not like it; where it is to be
    put somewhere, none is. Held until commit: of two that look at once, the second sees what the first has made.
    """
    if isinstance(new.source, str) or new.puts:
        return None
    rows.lock_photo(session, new.api_key_id, new.source.sha256)
    job_id = rows.find_like(
        session,
        api_key_id=new.api_key_id,
        input_sha256=new.source.sha256,
        params=new.params.to_json(),
        webhook_url=new.webhook_url,
    )
    return rows.get(session, job_id, api_key_id=new.api_key_id) if job_id else None


def longest_retention(session: Session, api_key_id: UUID, *, default: timedelta) -> timedelta:
    """How long files of a key's jobs stay unless they ask for less: the key's own time, else `default`."""
    return keys.files_retention(session, api_key_id) or default


def retention(asked: timedelta | None, *, longest: timedelta) -> timedelta:
    """How long a job's files stay: `longest`, the key's time, or what the job asks for, which may only be shorter.

    `JobError` `invalid_retention`.
    """
    if asked is None:
        return longest
    if asked > longest:
        detail = too_long_kept(longest)
        error = FieldError("/retention", "invalid_retention", detail)
        raise JobError("invalid_retention", detail, errors=(error,))
    return asked


def cancel(session: Session, public_id: str, *, api_key_id: UUID) -> Job:
    """Cancel a job that is not final. Best effort: a worker that finished first wins (`JobNotCancelableError`)."""
    job = find(session, public_id, api_key_id=api_key_id)
    if not _cancel(session, job.id):
        session.refresh(job)
        raise JobNotCancelableError(public_id, job.status.value)
    session.expire_all()
    return find(session, public_id, api_key_id=api_key_id)


def delete(session: Session, public_id: str, *, api_key_id: UUID) -> purging.Purge:
    """Forget a job: cancel it first if it still runs, then its files. The caller removes the keys after commit."""
    job = find(session, public_id, api_key_id=api_key_id)
    rows.lock(session, job.id)  # against a further output that is being asked for: it would outlive the purge
    session.refresh(job)
    if job.status not in FINAL:
        _cancel(session, job.id)
        session.refresh(job)
    purge = purging.purge_files(session, job)
    rows.mark_deleted(session, job.id)
    idempotency.scrub(session, job.id, public_id=job_public_id(job.id), kind="job")
    return purge


def _cancel(session: Session, job_id: UUID) -> bool:
    moved = rows.move(
        session,
        job_id,
        to=JobStatus.CANCELED,
        from_=sources(JobStatus.CANCELED),
        attempt=None,
        completed_at=func.now(),
        due_at=None,
    )
    if moved is None:
        return False
    rows.drop_fetch(session, job_id)
    events.record(session, moved)
    return True
