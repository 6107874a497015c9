"""Queries on fetches, and on what an io worker finds due: rows with leases of their own. Deliveries: `db.deliveries`.

A lease here is a due time moved into the future: a worker that dies lets it lapse and the row is due again. The
attempt number is the fencing token.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq, gt
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, insert, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.base import JobStatus
from db.batch_models import Batch
from db.claims import TABLES, Table, take_turn
from db.fair_queues import FairQueues
from db.key_models import ApiKey
from db.models import Fetch, Job
from db.put_models import Put
from db.webhook_models import DeliveryStatus, WebhookDelivery

FETCHES = FairQueues("fetches", "job_id", "due_at IS NOT NULL", "host_md5", "last_fetched_at", has_priority=True)


@dataclass(frozen=True)
class TakenFetch:
    """A download that a worker took, with what its job says of it; `status` is the job's."""

    job_id: UUID
    attempt: int
    status: JobStatus
    url: str | None
    api_key_id: UUID
    params: dict[str, Any]
    traceparent: str | None
    tries: int
    batch_id: UUID | None
    outages: int


def add_fetches(session: Session, job_ids: Sequence[UUID]) -> None:
    """The photos of these jobs, which are committed with them, are to be downloaded: due at once."""
    if job_ids:
        host_md5 = func.md5(func.coalesce(host_of(Job.source_url), ""))
        jobs = select(Job.id, Job.api_key_id, Job.priority, host_md5).where(Job.id.in_(job_ids))
        session.execute(insert(Fetch).from_select(["job_id", "api_key_id", "priority", "host_md5"], jobs))


def claim_fetches(
    session: Session, *, limit: int, lease_s: float, busy_hosts: Collection[str] = (), first: int = 0
) -> list[TakenFetch]:
    """Take due downloads: attempt and tries + 1, not due again before the lease is over. Those of busy hosts are left.

    Keys take turns; of a key the oldest of lane `first` leads. Returns them best first.
    """
    due = FETCHES.lock_due(session, limit=limit, busy=busy_hosts, first=first)
    if not due:
        return []
    claimed = session.execute(
        update(Fetch)
        .where(Fetch.job_id.in_(due), Job.id == Fetch.job_id)
        .values(attempt=Fetch.attempt + 1, tries=Fetch.tries + 1, due_at=func.now() + timedelta(seconds=lease_s))
        .returning(
            Fetch.job_id,
            Fetch.attempt,
            Job.status,
            Job.source_url,
            Fetch.api_key_id,
            Job.params,
            Job.traceparent,
            Fetch.tries,
            Job.batch_id,
            Fetch.outages,
        )
        .execution_options(synchronize_session=False)
    )
    rows = {row.job_id: TakenFetch(*row) for row in claimed}
    key_ids = sorted({row.api_key_id for row in rows.values()})
    take_turn(session, key_ids, column=ApiKey.last_fetched_at)
    return [rows[job_id] for job_id in due]


def host_of(url: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[str]:
    """The authority of a URL column, in lower case: what one slow server is known by."""
    return func.lower(func.split_part(url, "/", 3))


def settle_fetch(
    session: Session,
    job_id: UUID,
    *,
    attempt: int,
    due_at: datetime | ColumnElement[datetime] | None,
    last_error: str | None,
    is_outage: bool = False,
) -> bool:
    """Record how a download went: due again at `due_at`, or never; False when the attempt is not the last one.

    A try that met an outage is given back.
    """
    settled = session.scalar(
        update(Fetch)
        .where(Fetch.job_id == job_id, Fetch.attempt == attempt)
        .values(
            due_at=due_at,
            last_error=last_error,
            tries=Fetch.tries - (1 if is_outage else 0),
            outages=Fetch.outages + 1 if is_outage else 0,
        )
        .returning(Fetch.job_id)
        .execution_options(synchronize_session=False)
    )
    return settled is not None


def _is_due(table: Table) -> tuple[ColumnElement[bool], ...]:
    return table.status == JobStatus.QUEUED, table.due_at.is_not(None), table.due_at <= func.now()


def waiting(session: Session) -> tuple[bool, bool]:
    """(jobs or outputs are due for a gpu worker, fetches, deliveries, batches or PUTs for an io worker)."""
    # Questions apart, one for each partial index.
    healthy, suspect = (
        or_(*(exists().where(*_is_due(table), crashed(table.crashes, 0)) for table in TABLES)) for crashed in (eq, gt)
    )
    fetches = exists().where(Fetch.due_at <= func.now())
    deliveries = exists().where(WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.due_at <= func.now())
    batches = exists().where(Batch.due_at <= func.now())
    puts = exists().where(Put.due_at <= func.now())
    gpu, io = session.execute(select(healthy | suspect, fetches | deliveries | batches | puts)).one()
    return bool(gpu), bool(io)


def has_waited(session: Session, *, seconds: float) -> bool:
    """Whether a download, a delivery, a batch or a PUT has been due for longer than `seconds` and nobody took it."""
    past = func.now() - timedelta(seconds=seconds)
    fetches = exists().where(Fetch.due_at < past)
    deliveries = exists().where(WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.due_at < past)
    batches = exists().where(Batch.due_at < past)
    puts = exists().where(Put.due_at < past)
    return bool(session.scalar(select(fetches | deliveries | batches | puts)))
