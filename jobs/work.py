"""What workers and the sweeper do to claimed jobs: complete, fail, retry, release, return what was lost.

Every finish is guarded by status and attempt in SQL: a worker that wakes up late changes nothing and is told so.
"""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import claims
from db import jobs as rows
from db.base import JobStatus
from db.models import Job, Output
from jobs import events, puts
from jobs.errors import JobError
from jobs.ids import new_id
from jobs.lifecycle import OUTAGES, outage_delay, retry_delay, sources
from jobs.values import ClaimedJob, Outcome


def renew(session: Session, held: Sequence[tuple[UUID, int]], *, lease_s: float) -> None:
    """Extend the leases of (row, attempt) pairs that are still in work."""
    claims.renew(session, held, lease_s=lease_s)


def complete(session: Session, job: ClaimedJob, outcome: Outcome) -> bool:
    """Succeed: status, outputs, matte and event in one transaction. False when the job is no longer ours.

    One with a caller's PUT is made, and no more: it ends when the last PUT does (`jobs.puts`).
    """
    if job.output_id is not None:
        [made] = outcome.outputs
        is_made = _made(session, job, **vars(made)) is not None
        if is_made and job.has_puts:
            puts.start(session, job.id, name=made.name)
        return is_made
    moved = _made(
        session,
        job,
        verdict=outcome.verdict,
        reasons=outcome.reasons,
        model_version=outcome.model_version,
        runtime=outcome.runtime,
        metrics={**job.metrics, **outcome.metrics},
    )
    if not isinstance(moved, Job):
        return False
    if outcome.matte is not None:
        moved.matte_id = _keep_matte(session, job, outcome)
    shared = {
        "job_id": job.id,
        "api_key_id": job.api_key_id,
        "status": JobStatus.SUCCEEDED,
        "completed_at": moved.made_at or moved.completed_at,
    }
    rows.add_outputs(session, [Output(id=new_id(), **shared, **vars(output)) for output in outcome.outputs])
    if job.has_puts:
        puts.start(session, job.id)
    else:
        events.record(session, moved)
    return True


def _made(session: Session, job: ClaimedJob, **values: Any) -> Job | Output | None:
    """It has succeeded, or is out of the workers' hands until its PUTs are done."""
    if not job.has_puts:
        return _finish(session, job, JobStatus.SUCCEEDED, **values)
    row_id, attempt = job.held
    return rows.move(
        session,
        row_id,
        table=job.table,
        to=JobStatus.PROCESSING,
        from_={JobStatus.PROCESSING},
        attempt=attempt,
        made_at=func.now(),
        **values,
    )


def _keep_matte(session: Session, job: ClaimedJob, outcome: Outcome) -> UUID:
    matte: dict[str, Any] = {
        **vars(outcome.matte),
        "api_key_id": job.api_key_id,
        "input_sha256": job.input_sha256,
        "existing_alpha": job.params.existing_alpha,
        "model_version": outcome.model_version,
        "runtime": outcome.runtime,
        "verdict": outcome.verdict,
        "reasons": outcome.reasons,
        "facts": outcome.facts,
    }
    return rows.keep_matte(session, matte)


def fail(session: Session, job: ClaimedJob, error: JobError) -> bool:
    """Fail for good with the error's code. False when the job is no longer ours."""
    moved = _finish(session, job, JobStatus.FAILED, error_code=error.code, error_detail=error.detail)
    if moved is None:
        return False
    _tell(session, moved)
    return True


def fail_row(session: Session, row: Job | Output, error: JobError) -> None:
    """Fail a row that this transaction has locked, whatever open status it stands in."""
    failed = rows.move(
        session,
        row.id,
        table=type(row),
        to=JobStatus.FAILED,
        from_=sources(JobStatus.FAILED),
        attempt=row.attempt,
        completed_at=func.now(),
        due_at=None,
        error_code=error.code,
        error_detail=error.detail,
    )
    if failed is not None:
        _tell(session, failed)


def _tell(session: Session, ended: Job | Output) -> None:
    """The event of a job's end, one commit with it. A further output has none: its job's end was told."""
    if isinstance(ended, Job):
        events.record(session, ended)


def _finish(session: Session, job: ClaimedJob, to: JobStatus, **values: Any) -> Job | Output | None:
    row_id, attempt = job.held
    return rows.move(
        session,
        row_id,
        table=job.table,
        to=to,
        from_={JobStatus.PROCESSING},
        attempt=attempt,
        completed_at=func.now(),
        **values,
    )


def retry_or_fail(session: Session, job: ClaimedJob, error: JobError, *, max_retries: int, backoff_s: float) -> bool:
    """After a passing fault: due again a little later, or failed once the retries are used up.

    A part of the service that is away uses up none, however long: a job ends with its own faults or its deadline. The
    pause grows all the same, so that a store that stays full does not have its jobs computed again and again.
    """
    if not error.retryable:
        return fail(session, job, error)
    row_id, attempt = job.held
    is_outage = error.code in OUTAGES
    moved = rows.move(
        session,
        row_id,
        table=job.table,
        to=JobStatus.QUEUED,
        from_={JobStatus.PROCESSING},
        attempt=attempt,
        retries=job.table.retries + (0 if is_outage else 1),
        outages=job.table.outages + 1 if is_outage else 0,
    )
    if moved is None:
        return False
    if moved.retries > max_retries:
        fail_row(session, moved, error)
    else:
        rng = random.Random()
        if is_outage:
            pause = outage_delay(moved.outages - 1, base_s=backoff_s, rng=rng)
        else:
            pause = retry_delay(moved.retries - 1, base_s=backoff_s, rng=rng)
        rows.put_off(session, row_id, pause, table=job.table)
        session.flush()
    return True


def release(session: Session, held: Sequence[tuple[UUID, int]]) -> None:
    """Give jobs back untouched: an orderly shutdown is nobody's fault and is not counted."""
    for table in claims.TABLES:
        for row_id, attempt in held:
            rows.move(session, row_id, table=table, to=JobStatus.QUEUED, from_={JobStatus.PROCESSING}, attempt=attempt)


def return_lost(session: Session, *, max_crashes: int, limit: int) -> int:
    """Take back jobs whose lease ran out: their worker is dead or stuck. Returns how many.

    Each is a suspect from now on and runs alone, so that a photo that kills workers is found and fails, while its
    neighbours lose nothing. `max_crashes` is above what a few hard deploys in a row can cost an innocent job.
    """
    lost = [row for table in claims.TABLES for row in rows.expired_leases(session, table, limit=limit)]
    for row in lost:
        returned = rows.move(
            session,
            row.id,
            table=type(row),
            to=JobStatus.QUEUED,
            from_={JobStatus.PROCESSING},
            attempt=row.attempt,
            crashes=type(row).crashes + 1,
        )
        if returned is not None and returned.crashes > max_crashes:
            error = JobError("worker_crashed", f"{returned.crashes} workers died or hung while they held this photo.")
            fail_row(session, returned, error)
    return len(lost)
