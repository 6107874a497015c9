"""What its owner may do with a batch: create, read, list, cancel, delete, run again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from config.tracing import trace_id_of
from db import batches as rows
from db.base import JobStatus
from db.batch_models import BadLine, Batch, BatchStatus, LineSource
from db.models import Job
from jobs import events, idempotency
from jobs.cursors import cursors
from jobs.errors import JobError
from jobs.ids import BATCH_PREFIX, JOB_PREFIX, parse_id

FINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELED, BatchStatus.EXPIRED})
_SAMPLE = 10  # bad lines shown with the batch; all of them are in its errors


@dataclass(frozen=True)
class NewBatch:
    """What a caller asks for. The manifest is stored; `options` are those of lines that do not say otherwise."""

    id: UUID
    api_key_id: UUID
    source: LineSource
    filename: str | None
    manifest_key: str
    manifest_bytes: int
    options: Mapping[str, Any]
    labels: Mapping[str, str]
    webhook_url: str | None
    item_webhooks: bool
    skip_invalid: bool
    base_url: str
    deadline_at: datetime | None = None
    retry_of: UUID | None = None
    traceparent: str | None = None


class BatchNotFoundError(JobError):
    """No such batch for this caller."""

    def __init__(self, public_id: str) -> None:
        super().__init__("not_found", f"There is no batch {public_id}.")


def public_id(batch_id: UUID) -> str:
    """`batch_` and 32 hexadecimal digits."""
    return BATCH_PREFIX + batch_id.hex


def about(batch: Batch) -> dict[str, object]:
    """What a log tells it by."""
    subject: dict[str, object] = {"batch_id": public_id(batch.id), "attempt": batch.attempt}
    if batch.traceparent is not None:
        subject["trace_id"] = trace_id_of(batch.traceparent)
    return subject


def create(session: Session, new: NewBatch) -> Batch:
    """Insert a batch, due for a worker at once."""
    batch = Batch(**vars(new))
    session.add(batch)
    session.flush()
    session.refresh(batch)
    return batch


def line_defaults(options: Mapping[str, Any], webhook_url: str | None, *, item_webhooks: bool) -> dict[str, Any]:
    """Fields of lines that do not say otherwise: a batch's options, and its URL where its jobs are to be told of."""
    return {**({"webhook_url": webhook_url} if item_webhooks and webhook_url else {}), **options}


def find(session: Session, given_id: str, *, api_key_id: UUID) -> Batch:
    """A caller's batch. `BatchNotFoundError` for another key's batch as for no batch."""
    batch_id = parse_id(given_id, BATCH_PREFIX)
    batch = rows.get(session, batch_id, api_key_id=api_key_id) if batch_id else None
    if batch is None:
        raise BatchNotFoundError(given_id)
    return batch


def sample_of_bad_lines(session: Session, batch: Batch) -> Sequence[BadLine]:
    """The first bad lines."""
    return rows.bad_lines(session, batch.id, after_line=0, limit=_SAMPLE) if batch.invalid else ()


def page(
    session: Session,
    *,
    api_key_id: UUID,
    limit: int,
    starting_after: str | None = None,
    ending_before: str | None = None,
    status: BatchStatus | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[Sequence[Batch], bool]:
    """Up to `limit` of a caller's batches, newest first, and whether there are more. `JobError` `invalid_cursor`."""
    after, before = cursors(BATCH_PREFIX, starting_after, ending_before)
    return rows.page(
        session, api_key_id=api_key_id, limit=limit, after=after, before=before, status=status, labels=labels or {}
    )


def items(
    session: Session,
    batch: Batch,
    *,
    limit: int,
    starting_after: str | None = None,
    status: JobStatus | None = None,
    custom_id: str | None = None,
) -> tuple[Sequence[Job], bool]:
    """Up to `limit` of a batch's jobs by line, and whether there are more. `JobError` `invalid_cursor`."""
    after, _ = cursors(JOB_PREFIX, starting_after, None)
    after_line = 0
    if after is not None:
        line = rows.line_of(session, batch.id, after)
        if line is None:
            raise JobError("invalid_cursor", "starting_after is the id of a job of this batch.")
        after_line = line
    statuses = () if status is None else (status,)
    found = rows.items(
        session, batch.id, after_line=after_line, limit=limit + 1, statuses=statuses, custom_id=custom_id
    )
    return found[:limit], len(found) > limit


def cancel(session: Session, given_id: str, *, api_key_id: UUID) -> Batch:
    """Cancel a batch that has not ended. Its jobs are canceled by a worker; those that finish first have finished.

    `JobError` `already_final`. Asking twice is no error.
    """
    batch = find(session, given_id, api_key_id=api_key_id)
    stopped = rows.move(
        session,
        batch.id,
        from_={BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS},
        attempt=None,
        status=BatchStatus.CANCELING,
        canceled_at=func.now(),
        due_at=func.now(),
    )
    if stopped is not None:
        return stopped
    session.refresh(batch)
    if batch.status is not BatchStatus.CANCELING:
        raise JobError("already_final", f"Batch {given_id} is {batch.status.value} and can't be canceled.")
    return batch


def not_ended(batch: Batch) -> JobError:
    """What can be done to an ended batch alone is asked of another."""
    detail = f"Batch {public_id(batch.id)} is {batch.status.value}; cancel it, or wait."
    return JobError("batch_not_ended", detail, retryable=True)


def delete(session: Session, given_id: str, *, api_key_id: UUID) -> str | None:
    """Forget a batch that has ended, with its jobs. The manifest's key, to be removed after the commit.

    Its jobs' files go with the next sweeps, as at the end of their retention. `JobError` `batch_not_ended`.
    """
    batch = find(session, given_id, api_key_id=api_key_id)
    if batch.status not in FINAL:
        raise not_ended(batch)
    rows.mark_jobs_deleted(session, batch.id)
    manifest = rows.mark_deleted(session, batch)
    idempotency.scrub(session, batch.id, public_id=given_id, kind="batch")
    return manifest


def fail(session: Session, batch: Batch, error: JobError, *, attempt: int) -> bool:
    """Nothing more is to run of a batch. False when it is no longer ours.

    One that is being judged has failed, with its event. One in progress is canceling with its error: a worker ends its
    jobs, and it has failed when none is left.
    """
    why = {"error_code": error.code, "error_detail": error.detail}
    failed = rows.move(
        session,
        batch.id,
        from_={BatchStatus.VALIDATING},
        attempt=attempt,
        status=BatchStatus.FAILED,
        completed_at=func.now(),
        due_at=None,
        **why,
    )
    if failed is not None:
        events.record_batch(session, failed)
        return True
    failing = rows.move(
        session,
        batch.id,
        from_={BatchStatus.IN_PROGRESS},
        attempt=attempt,
        status=BatchStatus.CANCELING,
        due_at=func.now(),
        **why,
    )
    return failing is not None
