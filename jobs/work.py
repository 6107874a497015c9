"""What workers and the sweeper do to jobs: claim, complete, fail, retry, release, return what was lost.

Every finish is guarded by status and attempt in SQL: a worker that wakes up late changes nothing and is told so.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import claims
from db import jobs as rows
from db.models import Job, JobStatus, Output
from jobs import events
from jobs.errors import JobError
from jobs.ids import new_id
from jobs.lifecycle import retry_delay, sources
from jobs.params import JobParams
from jobs.values import ClaimedJob, Outcome, StoredMatte

# (model as asked, or "") -> (model version, runtime) as this worker would run it
Resolve = Callable[[str], tuple[str, str]]


@dataclass(frozen=True)
class Terms:
    """How a worker claims."""

    worker: str
    lease_s: float
    resolve: Resolve


def claim(session: Session, terms: Terms, *, limit: int, megapixels: float) -> list[ClaimedJob]:
    """Take up to `limit` due jobs of at most `megapixels` together (always at least one, however large)."""
    chosen: list[claims.Candidate] = []
    pixels = 0
    for candidate in claims.lock_due(session, limit=limit):
        if chosen and pixels + candidate.pixels > megapixels * 1e6:
            break
        chosen.append(candidate)
        pixels += candidate.pixels
    return _lease(session, terms, chosen)


def claim_suspect(session: Session, terms: Terms) -> list[ClaimedJob]:
    """Take one job that was in a crashed worker's hands, to be run alone."""
    return _lease(session, terms, claims.lock_suspect(session))


def _lease(session: Session, terms: Terms, chosen: Sequence[claims.Candidate]) -> list[ClaimedJob]:
    if not chosen:
        return []
    jobs = claims.lease(session, [c.id for c in chosen], worker=terms.worker, lease_s=terms.lease_s)
    claims.take_turn(session, sorted({job.api_key_id for job in jobs}))
    told = events.record_processing(session, jobs)
    return [_claimed(session, terms, job, is_told=job.api_key_id in told) for job in jobs]


def _claimed(session: Session, terms: Terms, job: Job, *, is_told: bool) -> ClaimedJob:
    params = JobParams.from_json(job.params)
    if job.input_key is None or job.input_sha256 is None or job.due_at is None or job.leased_until is None:
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
    now = job.leased_until.timestamp() - terms.lease_s  # the database's clock
    return ClaimedJob(
        id=job.id,
        api_key_id=job.api_key_id,
        attempt=job.attempt,
        params=params,
        input_key=job.input_key,
        input_sha256=job.input_sha256,
        pixels=(job.input_width or 0) * (job.input_height or 0),
        queue_ms=max(0, round((now - job.due_at.timestamp()) * 1000)),
        metrics=job.metrics,
        matte=None if matte is None else StoredMatte(matte.id, matte.key, matte.verdict, matte.reasons, matte.facts),
        has_webhook=is_told or job.webhook_url is not None,
    )


def renew(session: Session, held: Sequence[tuple[UUID, int]], *, lease_s: float) -> None:
    """Extend the leases of (job, attempt) pairs that are still in work."""
    claims.renew(session, held, lease_s=lease_s)


def complete(session: Session, job: ClaimedJob, outcome: Outcome) -> bool:
    """Succeed: status, outputs, matte and event in one transaction. False when the job is no longer ours."""
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
    if moved is None:
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
    events.record(session, moved)
    return True


def _finish(session: Session, job: ClaimedJob, to: JobStatus, **values: Any) -> Job | None:
    return rows.move(
        session,
        job.id,
        to=to,
        from_={JobStatus.PROCESSING},
        attempt=job.attempt,
        completed_at=func.now(),
        **values,
    )


def retry_or_fail(session: Session, job: ClaimedJob, error: JobError, *, max_retries: int, backoff_s: float) -> bool:
    """After a passing fault: due again a little later, or failed once the retries are used up."""
    if not error.retryable:
        return fail(session, job, error)
    moved = rows.move(
        session,
        job.id,
        to=JobStatus.QUEUED,
        from_={JobStatus.PROCESSING},
        attempt=job.attempt,
        retries=Job.retries + 1,
    )
    if moved is None:
        return False
    if moved.retries > max_retries:
        _fail_queued(session, moved, error)
    else:
        pause = retry_delay(moved.retries - 1, base_s=backoff_s, rng=random.Random())
        rows.put_off(session, job.id, pause)
        session.flush()
    return True


def _fail_queued(session: Session, job: Job, error: JobError) -> None:
    """Fail a job that stands queued in this same transaction."""
    failed = rows.move(
        session,
        job.id,
        to=JobStatus.FAILED,
        from_=sources(JobStatus.FAILED),
        attempt=job.attempt,
        completed_at=func.now(),
        due_at=None,
        error_code=error.code,
        error_detail=error.detail,
    )
    if failed is not None:
        events.record(session, failed)


def release(session: Session, held: Sequence[tuple[UUID, int]]) -> None:
    """Give jobs back untouched: an orderly shutdown is nobody's fault and is not counted."""
    for job_id, attempt in held:
        rows.move(session, job_id, to=JobStatus.QUEUED, from_={JobStatus.PROCESSING}, attempt=attempt)


def return_lost(session: Session, *, max_crashes: int, limit: int) -> int:
    """Take back jobs whose lease ran out: their worker is dead or stuck. Returns how many.

    Each is a suspect from now on and runs alone, so that a photo that kills workers is found and fails, while its
    neighbours lose nothing. `max_crashes` is above what a few hard deploys in a row can cost an innocent job.
    """
    lost = rows.expired_leases(session, limit=limit)
    for job in lost:
        returned = rows.move(
            session,
            job.id,
            to=JobStatus.QUEUED,
            from_={JobStatus.PROCESSING},
            attempt=job.attempt,
            crashes=Job.crashes + 1,
        )
        if returned is not None and returned.crashes > max_crashes:
            error = JobError("worker_crashed", f"{returned.crashes} workers died or hung while they held this photo.")
            _fail_queued(session, returned, error)
    return len(lost)
