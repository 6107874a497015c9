"""How a worker takes jobs and further outputs: locked, leased, and read into values that need no session.

A row that can't be read fails alone: one bad row must not keep every worker from its neighbours.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session

from db import claims
from db import jobs as rows
from db.models import Job, Matte, Output
from jobs import deadlines, events, lanes, work
from jobs.errors import JobError
from jobs.lanes import Lane
from jobs.output_params import OutputParams
from jobs.params import JobParams
from jobs.values import ClaimedJob, StoredMatte

_MAX_LOOKS = 20
"""Of one claim, where all that it finds has expired or can't be read; the next claim goes on."""

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
        if not due:
            break
        deadlines.expire(session, [candidate.id for candidate in due if candidate.is_overdue])
        timely = [candidate for candidate in due if not candidate.is_overdue]
        if claimed := _lease(session, terms, _fit(timely, megapixels)):
            return claimed
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
    claimed: dict[UUID, ClaimedJob] = {}
    leased: list[Job | Output] = [*leased_jobs, *leased_outputs]
    for row in leased:
        try:
            claimed[row.id] = _read(session, terms, row, told)
        except JobError as error:
            work.fail_row(session, row, error)
    return [claimed[candidate.id] for candidate in chosen if candidate.id in claimed]


def _read(session: Session, terms: Terms, row: Job | Output, told: Collection[UUID]) -> ClaimedJob:
    """`JobError` where the row makes no sense."""
    if isinstance(row, Job):
        return _claimed(session, terms, row, is_told=row.api_key_id in told)
    return _claimed_output(session, terms, row)


def _claimed_output(session: Session, terms: Terms, output: Output) -> ClaimedJob:
    """A further output, as its job with that one output to make of the stored matte."""
    job = session.get_one(Job, output.job_id)
    matte = session.get(Matte, job.matte_id) if job.matte_id else None
    params = JobParams.from_json(job.params)
    return ClaimedJob(
        id=job.id,
        api_key_id=job.api_key_id,
        attempt=output.attempt,
        params=replace(params, outputs=(OutputParams.from_json(output.params),)),
        input_key=job.input_key or "",
        input_sha256=job.input_sha256 or "",
        pixels=(job.input_width or 0) * (job.input_height or 0),
        queue_ms=_queue_ms(output, terms),
        metrics={},
        matte=None if matte is None else _stored(matte),
        has_webhook=False,
        output_id=output.id,
        batch_id=job.batch_id,
        filename=job.filename,
        traceparent=job.traceparent,
        has_puts=output.has_puts,
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
        raise JobError("source_lost", "The job names no stored photo.")
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
        filename=job.filename,
        has_puts=job.has_puts,
        model_version=model_version,
        batch_id=job.batch_id,
        traceparent=job.traceparent,
    )
