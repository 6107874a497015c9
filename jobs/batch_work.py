"""What workers do to a batch: note its lines and make them jobs. Its end is in `jobs.batch_ends`.

Each step is one transaction that is guarded by status and attempt: a worker that wakes up late changes nothing and is
told so, and the cursor moves on with the rows that it counts, so a line becomes one job whatever is killed when.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import batches as rows
from db import keys, puts, uploads
from db.base import JobStatus
from db.batch_models import Batch, BatchStatus, LineSource, Upload
from db.queues import count_open, lock_queue
from jobs import batches, events
from jobs.errors import FieldError, JobError
from jobs.filenames import clean_filename, filename_of_url
from jobs.ids import new_id
from jobs.keys import own_quotas
from jobs.lifecycle import retry_delay
from jobs.lines import Line, check_uploads
from jobs.put_params import rows_of
from jobs.quotas import OwnQuotas
from jobs.service import columns_of, longest_retention
from jobs.values import Item, NewJob, StoredInput

_WORKED_ON = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS, BatchStatus.CANCELING)
_GONE = FieldError("/upload_id", "upload_not_found", "The upload is gone.")


@dataclass(frozen=True)
class Terms:
    """How a worker holds a batch, and how long what it makes stays."""

    lease_s: float
    files_retention: timedelta
    uploads_retention: timedelta
    quotas: OwnQuotas  # of keys that have none of their own


@dataclass(frozen=True)
class BreakTerms:
    """Stretches of a batch that may break off in a row; one more fails it. The pause after the first one."""

    max_crashes: int
    backoff_s: float


def claim(session: Session, *, limit: int, lease_s: float, busy_keys: Collection[UUID] = ()) -> Sequence[Batch]:
    """Take batches that want a worker. One key has one at a time, so that keys take turns."""
    return rows.claim(session, limit=limit, lease_s=lease_s, busy_keys=busy_keys)


def release(session: Session, batch: Batch) -> None:
    """Give a batch back: due again at once."""
    rows.move(session, batch.id, from_=_WORKED_ON, attempt=batch.attempt, due_at=func.now())


def put_off(session: Session, batch: Batch, pause: timedelta) -> None:
    """Give a batch back for a while: something it needs is away."""
    rows.move(session, batch.id, from_=_WORKED_ON, attempt=batch.attempt, due_at=func.now() + pause)


def break_off(session: Session, batch: Batch, terms: BreakTerms) -> bool:
    """A stretch ended in an error that nobody foresaw: again after a pause that doubles. Whether the batch failed.

    Counted are those in a row: a chunk that was done in between sets them back. One that is canceling does not fail,
    since its jobs have to end: it goes on at pauses of up to ten minutes. A stretch whose worker died is not counted:
    a lapsed lease looks as any other batch that is due.
    """
    broken = rows.move(session, batch.id, from_=_WORKED_ON, attempt=batch.attempt, crashes=Batch.crashes + 1)
    if broken is None:
        return False
    if broken.crashes > terms.max_crashes and broken.status is not BatchStatus.CANCELING:
        detail = f"Work on the batch broke off {broken.crashes} times at the same place."
        return batches.fail(session, broken, JobError("batch_broke", detail), attempt=broken.attempt)
    put_off(session, broken, retry_delay(broken.crashes - 1, base_s=terms.backoff_s, rng=random.Random()))
    return False


def note_lines(
    session: Session, batch: Batch, lines: Sequence[Line], terms: Terms, *, photos: Sequence[dict[str, Any]] = ()
) -> bool:
    """Note lines that were judged, with the photos that they brought along. False when it is no longer ours."""
    ids = {line.upload_id for line in lines if line.upload_id is not None}
    if ids and batch.source is not LineSource.ZIP:  # its photos were looked at when they were unpacked
        usable = uploads.usable(session, ids, api_key_id=batch.api_key_id, at_least=terms.uploads_retention)
        lines = check_uploads(lines, usable)
    bad = [line for line in lines if line.errors]
    moved = rows.move(
        session,
        batch.id,
        from_={BatchStatus.VALIDATING},
        attempt=batch.attempt,
        cursor_line=lines[-1].number,
        lines=Batch.lines + len(lines),
        invalid=Batch.invalid + len(bad),
        crashes=0,
        due_at=func.now() + timedelta(seconds=terms.lease_s),
    )
    if moved is None:
        return False
    if photos:
        # Until its jobs hold them; from then on they go with the last of these.
        uploads.add(session, photos, retention=terms.files_retention + terms.uploads_retention)
    rows.add_bad_lines(session, [_bad_line(batch.id, line) for line in bad])
    return True


def _bad_line(batch_id: UUID, line: Line) -> dict[str, Any]:
    errors = [vars(error) for error in line.errors]
    return {"batch_id": batch_id, "line": line.number, "custom_id": line.custom_id, "errors": errors}


def start(session: Session, batch: Batch, terms: Terms) -> Batch | None:
    """Every line was read: run, or fail where lines are bad and that was not allowed, or where there is no room.

    None when it is not to run.
    """
    seen = rows.get(session, batch.id, api_key_id=batch.api_key_id)
    if seen is None:
        return None
    error = refusal(seen.lines, seen.invalid, skip_invalid=seen.skip_invalid)
    if error is None:
        lock_queue(session, batch.api_key_id)
        error = no_room(session, batch.api_key_id, seen.lines - seen.invalid, _queue_depth(session, batch, terms))
    if error is not None:
        batches.fail(session, batch, error, attempt=batch.attempt)
        return None
    return rows.move(
        session,
        batch.id,
        from_={BatchStatus.VALIDATING},
        attempt=batch.attempt,
        status=BatchStatus.IN_PROGRESS,
        started_at=func.now(),
        total=Batch.lines - Batch.invalid,
        cursor_line=0,
        crashes=0,
    )


def refusal(lines: int, invalid: int, *, skip_invalid: bool) -> JobError | None:
    """Why a batch with so many lines, so many of them bad, is not run."""
    if not lines:
        return JobError("empty_batch", "The manifest holds no line.")
    if invalid == lines:
        return JobError("invalid_lines", f"All {lines} lines are bad.")
    if invalid and not skip_invalid:
        return JobError("invalid_lines", f"{invalid} of {lines} lines are bad; nothing was run.")
    return None


def _queue_depth(session: Session, batch: Batch, terms: Terms) -> int | None:
    key = keys.get(session, batch.api_key_id)
    return own_quotas(key).effective(terms.quotas).queue_depth if key else None


def no_room(session: Session, api_key_id: UUID, jobs: int, quota: int | None) -> JobError | None:
    """Why a key may not have so many more jobs under way: what its other batches are still to become counts."""
    if quota is None:
        return None
    under_way = count_open(session, api_key_id, at_most=quota)
    if under_way + jobs <= quota:
        return None
    detail = f"{jobs} jobs beside {under_way} that have not ended; this key may have {quota}. Nothing was run."
    return JobError("queue_full", detail, retryable=True)


def expand(
    session: Session,
    batch: Batch,
    lines: Sequence[Line],
    terms: Terms,
    *,
    trace: Callable[[Line], str | None] = lambda _: None,
) -> bool:
    """Make jobs of lines, each in the trace that `trace` tells. False when the batch is no longer ours."""
    if not _advance(session, batch, lines, terms):
        return False
    ids = {line.upload_id for line in lines if line.upload_id is not None}
    taken = uploads.take(session, ids, api_key_id=batch.api_key_id) if ids else {}
    now = session.scalars(func.now()).one()
    kept = longest_retention(session, batch.api_key_id, default=terms.files_retention)
    made = [
        {**_job_row(batch, line, taken, now, line.schedule.retention or kept), "traceparent": trace(line)}
        for line in lines
    ]
    rows.add_jobs(session, made)
    puts.add(session, _put_rows(batch, lines, made))
    if heard := [row["id"] for row in made if not row["is_quiet"]]:
        jobs = rows.jobs_by_id(session, heard)
        events.record_queued(session, jobs)
        for job in jobs:
            if job.status is JobStatus.FAILED:
                events.record(session, job)
    return True


def _advance(session: Session, batch: Batch, lines: Sequence[Line], terms: Terms) -> bool:
    moved = rows.move(
        session,
        batch.id,
        from_={BatchStatus.IN_PROGRESS},
        attempt=batch.attempt,
        cursor_line=lines[-1].number,
        made=Batch.made + len(lines),
        crashes=0,
        due_at=func.now() + timedelta(seconds=terms.lease_s),
    )
    return moved is not None


def _job_row(batch: Batch, line: Line, taken: Mapping[UUID, Upload], now: datetime, kept: timedelta) -> dict[str, Any]:
    """A job due at once, or after its fetch; failed where the line does not hold any more what it held when judged."""
    upload = taken.get(line.upload_id) if line.upload_id is not None else None
    errors = line.errors or (() if upload or line.upload_id is None else (_GONE,))
    source = _stored(upload) if upload else line.judged.image_url or ""
    new = NewJob(
        id=new_id(),
        api_key_id=batch.api_key_id,
        source=source,
        params=line.judged.params,
        filename=clean_filename(upload.filename) if upload else filename_of_url(line.judged.image_url or ""),
        webhook_url=line.judged.webhook_url,
        base_url=batch.base_url,
        labels=line.judged.labels,
        retention=kept,
        priority=line.schedule.priority,
        deadline=line.schedule.deadline,
        upload_id=upload.id if upload else None,
        is_quiet=line.judged.webhook_url is None and not batch.item_webhooks,
        item=Item(batch.id, line.number, line.custom_id),
        puts=line.judged.puts,
    )
    ended = {"due_at": now if upload else None, "completed_at": None, "expires_at": None}
    if errors:
        ended = {"due_at": None, "completed_at": now, "expires_at": now + kept}
    return {
        **columns_of(new),
        **ended,
        "source_url": None if upload else line.judged.image_url,
        "status": JobStatus.FAILED if errors else JobStatus.QUEUED,
        "error_code": errors[0].code if errors else None,
        "error_detail": errors[0].detail if errors else None,
    }


def _put_rows(batch: Batch, lines: Sequence[Line], made: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the jobs that a worker will make."""
    return [
        row
        for line, job in zip(lines, made, strict=True)
        if job["status"] is JobStatus.QUEUED
        for row in rows_of(line.judged.puts, job["id"], batch.api_key_id, line.schedule.priority)
    ]


def _stored(upload: Upload) -> StoredInput:
    return StoredInput(upload.key, upload.sha256, upload.bytes, upload.format, upload.width, upload.height)


def end_expansion(session: Session, batch: Batch) -> bool:
    """Every line is a job: no worker need look at the batch any more, the sweeper sees its end."""
    total = sum(rows.count(session, batch.id).values())
    return (
        rows.move(session, batch.id, from_={BatchStatus.IN_PROGRESS}, attempt=batch.attempt, due_at=None, total=total)
        is not None
    )
