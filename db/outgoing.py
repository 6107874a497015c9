"""Queries on fetches, and on what an io worker finds due: rows with leases of their own. Deliveries: `db.deliveries`.

A lease here is a due time moved into the future: a worker that dies lets it lapse and the row is due again. The
attempt number is the fencing token.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from operator import eq, gt
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, exists, func, insert, or_, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.base import JobStatus
from db.batch_models import Batch
from db.claims import TABLES, WINDOW_FACTOR, Table, take_turn
from db.key_models import ApiKey
from db.models import Fetch, Job
from db.webhook_models import DeliveryStatus, WebhookDelivery

# As `db.claims` takes jobs, over `ix_fetches_claim`: everybody's first photo before anybody's second, the key that was
# served longest ago first, within a key by lane, oldest due first. A lane is a queue per host, so that those of busy
# hosts cost nothing, however long. Of a lane with very many hosts some are looked at, from a random one on, around.
FETCHES_SQL = """
WITH RECURSIVE lanes AS (
    (SELECT priority, api_key_id FROM fetches WHERE due_at IS NOT NULL ORDER BY priority, api_key_id LIMIT 1)
    UNION ALL
    SELECT next.priority, next.api_key_id FROM lanes CROSS JOIN LATERAL (
        SELECT priority, api_key_id FROM fetches
        WHERE due_at IS NOT NULL AND (priority, api_key_id) > (lanes.priority, lanes.api_key_id)
        ORDER BY priority, api_key_id LIMIT 1) AS next
),
candidates AS (
    SELECT oldest.job_id, oldest.due_at, lanes.priority, lanes.api_key_id, keys.last_fetched_at,
           row_number() OVER (PARTITION BY lanes.priority, lanes.api_key_id
                              ORDER BY oldest.due_at, oldest.job_id) = 1 AND lanes.priority = :first AS leads
    FROM lanes JOIN api_keys AS keys ON keys.id = lanes.api_key_id CROSS JOIN LATERAL (
        WITH RECURSIVE onward AS (
            SELECT cast(:start AS text) AS host_md5
            UNION ALL
            SELECT next.host_md5 FROM onward CROSS JOIN LATERAL (
                SELECT host_md5 FROM fetches
                WHERE due_at IS NOT NULL AND priority = lanes.priority AND api_key_id = lanes.api_key_id
                  AND fetches.host_md5 > onward.host_md5
                ORDER BY host_md5 LIMIT 1) AS next
        ),
        around AS (
            SELECT '' AS host_md5
            UNION ALL
            SELECT next.host_md5 FROM around CROSS JOIN LATERAL (
                SELECT host_md5 FROM fetches
                WHERE due_at IS NOT NULL AND priority = lanes.priority AND api_key_id = lanes.api_key_id
                  AND fetches.host_md5 > around.host_md5 AND fetches.host_md5 <= :start
                ORDER BY host_md5 LIMIT 1) AS next
        )
        SELECT found.job_id, found.due_at FROM (
            SELECT host_md5 FROM onward UNION ALL SELECT host_md5 FROM around LIMIT :hosts
        ) AS queues CROSS JOIN LATERAL (
            SELECT job_id, due_at FROM fetches
            WHERE due_at IS NOT NULL AND priority = lanes.priority AND api_key_id = lanes.api_key_id
              AND host_md5 = queues.host_md5 AND due_at <= now()
            ORDER BY due_at, job_id LIMIT (SELECT greatest(4, :window / count(*)) FROM lanes)) AS found
        WHERE queues.host_md5 <> ALL (ARRAY(SELECT md5(host) FROM unnest(cast(:busy AS text[])) AS host))
        LIMIT (SELECT 16 * greatest(4, :window / count(*)) FROM lanes)
    ) AS oldest
),
turns AS (
    SELECT job_id, due_at, priority, last_fetched_at,
           row_number() OVER (PARTITION BY api_key_id ORDER BY leads DESC, priority, due_at, job_id) AS turn
    FROM candidates
),
ranked AS (
    SELECT job_id, row_number() OVER (ORDER BY turn, last_fetched_at NULLS FIRST, priority, due_at, job_id) AS place
    FROM turns ORDER BY place LIMIT :window
),
chosen AS (SELECT array_agg(job_id ORDER BY place) AS ids FROM ranked)
SELECT job_id FROM fetches
WHERE job_id = ANY ((SELECT ids FROM chosen)::uuid[]) AND due_at <= now()
ORDER BY array_position((SELECT ids FROM chosen), job_id) LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_HOSTS = 1000  # looked at in a lane, until sixteen hosts' worth of due photos is found


def add_fetches(session: Session, job_ids: Sequence[UUID]) -> None:
    """The photos of these jobs, which are committed with them, are to be downloaded: due at once."""
    if job_ids:
        host_md5 = func.md5(func.coalesce(host_of(Job.source_url), ""))
        jobs = select(Job.id, Job.api_key_id, Job.priority, host_md5).where(Job.id.in_(job_ids))
        session.execute(insert(Fetch).from_select(["job_id", "api_key_id", "priority", "host_md5"], jobs))


def claim_fetches(
    session: Session, *, limit: int, lease_s: float, busy_hosts: Collection[str] = (), first: int = 0
) -> Sequence[tuple[UUID, int, JobStatus, str | None, UUID]]:
    """Take due downloads: attempt + 1, not due again before the lease is over. Those of `busy_hosts` are left.

    Keys take turns; of a key the oldest of lane `first` leads. Returns (job id, attempt, the job's status, its source
    URL, its key), best first.
    """
    amounts = {"limit": limit, "window": limit * WINDOW_FACTOR, "hosts": _HOSTS, "first": first}
    chosen = {"start": uuid4().hex, "busy": list(busy_hosts)}
    due = session.scalars(text(FETCHES_SQL), {**amounts, **chosen}).all()
    if not due:
        return []
    claimed = session.execute(
        update(Fetch)
        .where(Fetch.job_id.in_(due), Job.id == Fetch.job_id)
        .values(attempt=Fetch.attempt + 1, due_at=func.now() + timedelta(seconds=lease_s))
        .returning(Fetch.job_id, Fetch.attempt, Job.status, Job.source_url, Fetch.api_key_id)
        .execution_options(synchronize_session=False)
    )
    rows = {row.job_id: row for row in claimed}
    key_ids = sorted({row.api_key_id for row in rows.values()})
    take_turn(session, key_ids, column=ApiKey.last_fetched_at)
    return [(row.job_id, row.attempt, row.status, row.source_url, row.api_key_id) for row in map(rows.__getitem__, due)]


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
) -> bool:
    """Record how a download went: due again at `due_at`, or never; False when the attempt is not the last one."""
    settled = session.scalar(
        update(Fetch)
        .where(Fetch.job_id == job_id, Fetch.attempt == attempt)
        .values(due_at=due_at, last_error=last_error)
        .returning(Fetch.job_id)
        .execution_options(synchronize_session=False)
    )
    return settled is not None


def lock_job(session: Session, job_id: UUID) -> None:
    """Lock a job before its fetch, as canceling does: taken in two orders, the two locks would block each other."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())


def _is_due(table: Table) -> tuple[ColumnElement[bool], ...]:
    return table.status == JobStatus.QUEUED, table.due_at.is_not(None), table.due_at <= func.now()


def waiting(session: Session) -> tuple[bool, bool]:
    """(jobs or outputs are due for a gpu worker, fetches, deliveries or batches for an io worker)."""
    # Questions apart, one for each partial index.
    healthy, suspect = (
        or_(*(exists().where(*_is_due(table), crashed(table.crashes, 0)) for table in TABLES)) for crashed in (eq, gt)
    )
    fetches = exists().where(Fetch.due_at <= func.now())
    deliveries = exists().where(WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.due_at <= func.now())
    batches = exists().where(Batch.due_at <= func.now())
    gpu, io = session.execute(select(healthy | suspect, fetches | deliveries | batches)).one()
    return bool(gpu), bool(io)


def has_waited(session: Session, *, seconds: float) -> bool:
    """Whether a download, a delivery or a batch has been due for longer than `seconds` and nobody took it."""
    past = func.now() - timedelta(seconds=seconds)
    fetches = exists().where(Fetch.due_at < past)
    deliveries = exists().where(WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.due_at < past)
    batches = exists().where(Batch.due_at < past)
    return bool(session.scalar(select(fetches | deliveries | batches)))
