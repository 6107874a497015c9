"""How an output gets to its caller's URL: claimed under a lease, done, due again, or given up; then its job ends."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import jobs as job_rows
from db import puts as rows
from db.base import JobStatus
from db.models import Job, Output
from db.put_models import Put, PutStatus
from jobs import events, lanes
from jobs.errors import JobError
from jobs.fetching import MAX_RETRY_AFTER, RetryTerms
from jobs.lanes import Lane
from jobs.lifecycle import outage_delay, retry_delay
from jobs.values import about_job

_OPEN = (PutStatus.WAITING, PutStatus.PENDING)


@dataclass(frozen=True)
class ClaimedPut:
    """A PUT in a worker's hands, with the stored file. `attempt` fences: only this attempt may settle it."""

    id: UUID
    job_id: UUID
    name: str
    attempt: int
    tries: int  # with this one
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    host: str
    key: str | None  # null where the file is gone
    bytes: int
    format: str
    traceparent: str | None = None
    batch_id: UUID | None = None
    outages: int = 0  # put back in a row before, as our own store was away

    @property
    def about(self) -> dict[str, object]:
        """What a log tells it by."""
        return about_job(self.job_id, self.attempt, batch_id=self.batch_id, traceparent=self.traceparent)


def start(session: Session, job_id: UUID, *, name: str | None = None) -> None:
    """The output of that name is made, or all that were asked for with the job: what is to be put is due."""
    rows.show(session, [put.id for put in rows.start(session, job_id, name=name)])


def claim(
    session: Session,
    *,
    limit: int,
    lease_s: float,
    busy_hosts: Collection[str] = (),
    draw: Callable[[], Lane] = lanes.draw,
) -> list[ClaimedPut]:
    """Take due PUTs, fair between keys and by lane.

    None ends here, not even one whose file is gone: that takes the job's lock, which comes before a PUT's.
    """
    claimed = []
    for row in rows.claim(session, limit=limit, lease_s=lease_s, busy_hosts=busy_hosts, first=draw()):
        put, output = row.put, row.output
        claimed.append(
            ClaimedPut(
                id=put.id,
                job_id=put.job_id,
                name=put.name,
                attempt=put.attempt,
                tries=put.tries,
                outages=put.outages,
                url=put.url or "",  # what is due has one: the table's own rule
                headers=put.headers or {},
                host=put.host,
                key=output.key if output else None,
                bytes=(output.bytes if output else None) or 0,
                format=output.format if output else "",
                traceparent=row.traceparent,
                batch_id=row.batch_id,
            )
        )
    return claimed


def arrive(session: Session, put: ClaimedPut) -> bool:
    """The caller's server has the file: where it was the last one, the job succeeds. False when it is not ours."""
    return _settle(session, put, status=PutStatus.DONE, error_detail=None, **rows.FINAL)


def retry_or_fail(
    session: Session, put: ClaimedPut, error: JobError, terms: RetryTerms, *, retry_after_s: float = 0.0
) -> bool:
    """Due again a little later where that can help and tries are left; else given up, and its job fails with it.

    False when the PUT is no longer ours.
    """
    if not error.retryable or put.tries >= terms.max_tries:
        return _settle(session, put, status=PutStatus.FAILED, error_detail=error.detail, **rows.FINAL)
    pause = max(
        retry_delay(put.tries - 1, base_s=terms.backoff_s, rng=random.Random()),
        min(timedelta(seconds=retry_after_s), MAX_RETRY_AFTER),
    )
    return _settle(session, put, due_at=func.now() + pause, error_detail=error.detail, outages=0)


def put_off(session: Session, put: ClaimedPut, *, backoff_s: float) -> bool:
    """Our own store is away, which is no fault of the PUT's: due again later, each time later, and not counted."""
    pause = outage_delay(put.outages, base_s=backoff_s, rng=random.Random())
    return _settle(session, put, due_at=func.now() + pause, tries=Put.tries - 1, outages=Put.outages + 1)


def _settle(session: Session, put: ClaimedPut, **values: Any) -> bool:
    job_rows.lock(session, put.job_id)  # before the PUT, as canceling does: `db.puts`
    settled = rows.settle(session, put.id, attempt=put.attempt, **values)
    if settled is None:
        return False
    rows.show(session, [settled.id])
    if settled.status not in _OPEN:
        _end(session, settled)
    return True


def _end(session: Session, put: Put) -> None:
    """Where no other PUT of its job is open, the job ends: in one commit with its event."""
    together = rows.of_end(session, put)
    if any(each.status in _OPEN for each in together):
        return
    failed = [each for each in together if each.status is PutStatus.FAILED]
    outcome: dict[str, Any] = {"to": JobStatus.SUCCEEDED}
    if failed:
        detail = " ".join(f"Output {each.name}: {each.error_detail}" for each in failed)
        outcome = {"to": JobStatus.FAILED, "error_code": "put_failed", "error_detail": detail}
    is_output = (Output.job_id == put.job_id) & (Output.name == put.name)
    ended = job_rows.move(
        session,
        session.scalars(select(Output.id).where(is_output)).one() if put.is_further else put.job_id,
        table=Output if put.is_further else Job,
        from_={JobStatus.PROCESSING},
        attempt=None,
        completed_at=func.now(),
        **outcome,
    )
    if isinstance(ended, Job):
        events.record(session, ended)
