"""How a job gets its photo from a URL: claimed under a lease, arrived, due again, or given up."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import jobs as rows
from db import outgoing
from db.base import JobStatus
from jobs import events, lanes
from jobs.errors import JobError
from jobs.lanes import Lane
from jobs.lifecycle import OUTAGES, outage_delay, retry_delay
from jobs.params import animated_of
from jobs.service import input_columns
from jobs.values import StoredInput, about_job
from vision.codec.header import Animated

# A server may ask us to come back later, but not to keep a job waiting for ever.
MAX_RETRY_AFTER = timedelta(minutes=10)


@dataclass(frozen=True)
class ClaimedFetch:
    """A download in a worker's hands. `attempt` fences: only this attempt may settle it."""

    job_id: UUID
    attempt: int
    url: str
    api_key_id: UUID
    animated: Animated = "refuse"
    traceparent: str | None = None
    tries: int = 1  # with this one
    batch_id: UUID | None = None
    outages: int = 0  # given back in a row before, as the store was away

    @property
    def host(self) -> str:
        """The authority of the URL, as `db.outgoing.host_of` sees it."""
        return host_of(self.url)

    @property
    def about(self) -> dict[str, object]:
        """What a log tells it by."""
        return about_job(self.job_id, self.attempt, batch_id=self.batch_id, traceparent=self.traceparent)


@dataclass(frozen=True)
class RetryTerms:
    """How often and at what pace downloads are tried."""

    max_tries: int
    backoff_s: float


def host_of(url: str) -> str:
    """The authority of a URL, in lower case."""
    return url.split("/")[2].lower() if url.count("/") > 1 else ""


def claim(
    session: Session,
    *,
    limit: int,
    lease_s: float,
    busy_hosts: Collection[str] = (),
    draw: Callable[[], Lane] = lanes.draw,
) -> list[ClaimedFetch]:
    """Take due downloads, fair between keys and by lane. Those of jobs that are final meanwhile are settled here."""
    claimed = []
    for taken in outgoing.claim_fetches(session, limit=limit, lease_s=lease_s, busy_hosts=busy_hosts, first=draw()):
        job_id, attempt = taken.job_id, taken.attempt
        if taken.status is JobStatus.QUEUED and taken.url is not None:
            animated = animated_of(taken.params)
            claimed.append(
                ClaimedFetch(
                    job_id,
                    attempt,
                    taken.url,
                    taken.api_key_id,
                    animated,
                    taken.traceparent,
                    tries=taken.tries,
                    outages=taken.outages,
                    batch_id=taken.batch_id,
                )
            )
        else:
            outgoing.settle_fetch(
                session, job_id, attempt=attempt, due_at=None, last_error=f"job is {taken.status.value}"
            )
    return claimed


def arrive(session: Session, fetch: ClaimedFetch, stored: StoredInput, *, fetch_ms: int) -> bool:
    """The photo is stored: the job is due for a gpu worker. False when the fetch is no longer ours."""
    rows.lock(session, fetch.job_id)
    if not outgoing.settle_fetch(session, fetch.job_id, attempt=fetch.attempt, due_at=None, last_error=None):
        return False
    moved = rows.move(
        session,
        fetch.job_id,
        to=JobStatus.QUEUED,
        from_={JobStatus.QUEUED},
        attempt=None,
        due_at=func.now(),
        metrics={"fetch_ms": fetch_ms},
        **input_columns(stored),
    )
    return moved is not None


def retry_or_fail(
    session: Session, fetch: ClaimedFetch, error: JobError, terms: RetryTerms, *, retry_after_s: float
) -> bool:
    """Due again a little later where that can help and tries are left, else the job fails with its event.

    A part of the service that is away uses up no try; the pause grows all the same.

    False when the fetch is no longer ours.
    """
    rows.lock(session, fetch.job_id)
    rng = random.Random()
    is_outage = error.code in OUTAGES
    final = not is_outage and (not error.retryable or fetch.tries >= terms.max_tries)
    pause = max(
        outage_delay(fetch.outages, base_s=terms.backoff_s, rng=rng)
        if is_outage
        else retry_delay(fetch.tries - 1, base_s=terms.backoff_s, rng=rng),
        min(timedelta(seconds=retry_after_s), MAX_RETRY_AFTER),
    )
    due_at = None if final else func.now() + pause
    if not outgoing.settle_fetch(
        session,
        fetch.job_id,
        attempt=fetch.attempt,
        due_at=due_at,
        last_error=f"{error.code}: {error.detail}",
        is_outage=is_outage,
    ):
        return False
    if final:
        _fail(session, fetch.job_id, error)
    return True


def _fail(session: Session, job_id: UUID, error: JobError) -> None:
    failed = rows.move(
        session,
        job_id,
        to=JobStatus.FAILED,
        from_={JobStatus.QUEUED},
        attempt=None,
        completed_at=func.now(),
        due_at=None,
        error_code=error.code,
        error_detail=error.detail,
    )
    if failed is not None:
        events.record(session, failed)
