"""What workers and the sweeper do to jobs: claim, complete, fail, retry, release, return what was lost.

Every finish is guarded by status and attempt in SQL: a worker that wakes up late changes nothing and is told so.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import claims
from db import jobs as rows
from db.models import Job, JobStatus, Matte, Output
from jobs import deadlines, events, lanes
from jobs.errors import JobError
from jobs.ids import new_id
from jobs.lanes import Lane
from jobs.lifecycle import retry_delay, sources
from jobs.output_params import OutputParams
from jobs.params import JobParams
from jobs.values import ClaimedJob, Outcome, StoredMatte

_MAX_LOOKS = 20
"""Of one claim, where all that it finds has expired; the next claim goes on."""

# (model as asked, or "") -> (model version, runtime) as this worker would run it
Resolve = Callable[[str], tuple[str, str]]


@dataclass(frozen=True)
class Terms:
    """How a worker claims."""

    worker: str
    lease_s: float
    resolve: Resolve
    draw: Callable[[], Lane] = lanes.draw


def claim(session: Session, terms: Terms, *, limit: int, megapixels: float) -> list[ClaimedJob]:
    """Take up to `limit` due jobs and outputs of at most `megapixels` together (at least one, however large).

    Jobs past their deadline expire here, and the next ones are looked at.
    """
    for _ in range(_MAX_LOOKS):
        due = claims.lock_due(session, limit=limit, first=terms.draw())
        overdue = [candidate.id for candidate in due if candidate.is_overdue]
        deadlines.expire(session, overdue)
        timely = [candidate for candidate in due if not candidate.is_overdue]
        if timely or not overdue:
            return _lease(session, terms, _fit(timely, megapixels))
    return []


def _fit(candidates: Sequence[claims.Candidate], megapixels: float) -> list[claims.Candidate]:
    """The first ones that fit together, and the very first in any case."""
    chosen: list[claims.Candidate] = []
    pixels = 0
    for candidate in candidates:
        if chosen and pixels + candidate.pixels > megapixels * 1e6:
            break
        chosen.append(candidate)
        pixels += candidate.pixels
    return chosen


def claim_suspect(session: Session, terms: Terms) -> list[ClaimedJob]:
    """Take one job or output that was in a crashed worker's hands, to be run alone."""
    return _lease(session, terms, claims.lock_suspect(session))


def _lease(session: Session, terms: Terms, chosen: Sequence[claims.Candidate]) -> list[ClaimedJob]:
    if not chosen:
        return []
    lease = partial(claims.lease, session, worker=terms.worker, lease_s=terms.lease_s)
    leased_jobs = lease(Job, [c.id for c in chosen if c.table is Job])
    leased_outputs = lease(Output, [c.id for c in chosen if c.table is Output])
    claims.take_turn(session, sorted({candidate.api_key_id for candidate in chosen}))
    told = events.record_processing(session, leased_jobs)
    jobs = {job.id: _claimed(session, terms, job, is_told=job.api_key_id in told) for job in leased_jobs}
    outputs = {output.id: _claimed_output(session, terms, output) for output in leased_outputs}
    claimed = {**jobs, **outputs}
    return [claimed[candidate.id] for candidate in chosen if candidate.id in claimed]


def _claimed_output(session: Session, terms: Terms, output: Output) -> ClaimedJob:
    """A further output, as its job with that one output to make of the stored matte."""
    job = session.get_one(Job, output.job_id)
    matte = session.get(Matte, job.matte_id) if job.matte_id else None
    params = JobParams.from_json(job.params)
    return ClaimedJob(
        id=job.id,
        api_key_id=job.api_key_id,
        attempt=output.attempt,
        params=JobParams((OutputParams.from_json(output.params),), params.model, params.existing_alpha),
        input_key=job.input_key or "",
        input_sha256=job.input_sha256 or "",
        pixels=(job.input_width or 0) * (job.input_height or 0),
        queue_ms=_queue_ms(output, terms),
        metrics={},
        matte=None if matte is None else _stored(matte),
        has_webhook=False,
        output_id=output.id,
    )


def _queue_ms(row: Job | Output, terms: Terms) -> int:
    """How long a row that was just claimed had been due, by the database's clock."""
    if row.due_at is None or row.leased_until is None:
        message = f"claimed a row that is not due: {row.id}"
        raise AssertionError(message)
    return max(0, round((row.leased_until.timestamp() - terms.lease_s - row.due_at.timestamp()) * 1000))


def _stored(matte: Matte) -> StoredMatte:
    return StoredMatte(matte.id, matte.key, matte.verdict, matte.reasons, matte.facts)


def _claimed(session: Session, terms: Terms, job: Job, *, is_told: bool) -> ClaimedJob:
    params = JobParams.from_json(job.params)
    if job.input_key is None or job.input_sha256 is None:
        message = f"claimed a job without a photo: {job.id}"
        raise AssertionError(message)
    model_version, runtime = terms.resolve(params.model)
    matte = rows.find_matte(
        session,
        api_key_id=job.api_key_id,
        input_sha256=job.input_sha256,
        existing_alpha=params.existing_alpha,
        model_version=model_version,
        runtime=runtime,
    )
    if matte is not None:
        job.matte_id = matte.id  # counted as a user from here on, so that no purge takes it away
        session.flush()
    return ClaimedJob(
        id=job.id,
        api_key_id=job.api_key_id,
        attempt=job.attempt,
        params=params,
        input_key=job.input_key,
        input_sha256=job.input_sha256,
        pixels=(job.input_width or 0) * (job.input_height or 0),
        queue_ms=_queue_ms(job, terms),
        metrics=job.metrics,
        matte=None if matte is None else _stored(matte),
        has_webhook=is_told or job.webhook_url is not None,
        model_version=model_version,
    )


def renew(session: Session, held: Sequence[tuple[UUID, int]], *, lease_s: float) -> None:
    """Extend the leases of (row, attempt) pairs that are still in work."""
    claims.renew(session, held, lease_s=lease_s)


def complete(session: Session, job: ClaimedJob, outcome: Outcome) -> bool:
    """Succeed: status, outputs, matte and event in one transaction. False when the job is no longer ours."""
    if job.output_id is not None:
        [made] = outcome.outputs
        return _finish(session, job, JobStatus.SUCCEEDED, **vars(made)) is not None
    moved = _finish(
        session,
        job,
        JobStatus.SUCCEEDED,
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
        "completed_at": moved.completed_at,
    }
    rows.add_outputs(session, [Output(id=new_id(), **shared, **vars(output)) for output in outcome.outputs])
    events.record(session, moved)
    return True


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
    """After a passing fault: due again a little later, or failed once the retries are used up."""
    if not error.retryable:
        return fail(session, job, error)
    row_id, attempt = job.held
    moved = rows.move(
        session,
        row_id,
        table=job.table,
        to=JobStatus.QUEUED,
        from_={JobStatus.PROCESSING},
        attempt=attempt,
        retries=job.table.retries + 1,
    )
    if moved is None:
        return False
    if moved.retries > max_retries:
        _fail_queued(session, moved, error)
    else:
        pause = retry_delay(moved.retries - 1, base_s=backoff_s, rng=random.Random())
        rows.put_off(session, row_id, pause, table=job.table)
        session.flush()
    return True


def _fail_queued(session: Session, row: Job | Output, error: JobError) -> None:
    """Fail a row that stands queued in this same transaction."""
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
            _fail_queued(session, returned, error)
    return len(lost)
