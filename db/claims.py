"""How a worker takes work: jobs and further outputs, fair between keys, by lane, oldest due first, never twice.

PostgreSQL refuses FOR UPDATE beside window functions, and sorting a million queued rows for each claim would cost
seconds. So the claim walks the partial index `ix_jobs_claim` (`ix_outputs_claim`): a recursive query hops from one
(priority, key) lane to the next, LATERAL takes the oldest few of each, and only those few are ranked and locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq, gt
from typing import TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import bindparam, exists, func, or_, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.base import JobStatus
from db.key_models import ApiKey
from db.models import Job, Output

Row = TypeVar("Row", bound=Job | Output)
Table: TypeAlias = type[Job] | type[Output]
TABLES: tuple[Table, ...] = (Job, Output)

# Ranked candidates, then locked in that order; rows that another worker holds are skipped. The keys take turns:
# everybody's first photo before anybody's second, the key that was served longest ago first. Within a key the lanes
# follow one another, but the oldest of the lane `first` leads (`jobs.lanes`). Each lane gives as many rows as its
# share of the window, and a few at least, so that a claim looks at as much whether a thousand rows wait or a million.
_CLAIM = """
WITH RECURSIVE lanes AS (
    (SELECT priority, api_key_id FROM {table}
     WHERE status = 'queued' AND due_at IS NOT NULL AND crashes = 0
     ORDER BY priority, api_key_id LIMIT 1)
    UNION ALL
    SELECT next.priority, next.api_key_id FROM lanes CROSS JOIN LATERAL (
        SELECT priority, api_key_id FROM {table}
        WHERE status = 'queued' AND due_at IS NOT NULL AND crashes = 0
          AND (priority, api_key_id) > (lanes.priority, lanes.api_key_id)
        ORDER BY priority, api_key_id LIMIT 1) AS next
),
candidates AS (
    SELECT oldest.id, oldest.due_at, lanes.priority, lanes.api_key_id, keys.last_claimed_at,
           row_number() OVER (PARTITION BY lanes.priority, lanes.api_key_id
                              ORDER BY oldest.due_at, oldest.id) = 1 AND lanes.priority = :first AS leads
    FROM lanes JOIN api_keys AS keys ON keys.id = lanes.api_key_id CROSS JOIN LATERAL (
        SELECT id, due_at FROM {table}
        WHERE status = 'queued' AND due_at IS NOT NULL AND crashes = 0
          AND priority = lanes.priority AND api_key_id = lanes.api_key_id AND due_at <= now()
        ORDER BY due_at, id LIMIT (SELECT greatest(4, :window / count(*)) FROM lanes)) AS oldest
),
turns AS (
    SELECT id, due_at, priority, last_claimed_at,
           row_number() OVER (PARTITION BY api_key_id ORDER BY leads DESC, priority, due_at, id) AS turn
    FROM candidates
),
ranked AS (
    SELECT id, turn, coalesce(extract(epoch FROM last_claimed_at), 0)::float8 AS served,
           row_number() OVER (ORDER BY turn, last_claimed_at NULLS FIRST, priority, due_at, id) AS place
    FROM turns ORDER BY place LIMIT :window
)
SELECT claimed.id, claimed.api_key_id, photo.input_width::bigint * photo.input_height AS pixels,
       {is_overdue} AS is_overdue,
       ranked.turn, ranked.served, claimed.priority, extract(epoch FROM claimed.due_at)::float8
FROM ranked JOIN {table} AS claimed ON claimed.id = ranked.id JOIN jobs AS photo ON photo.id = claimed.{job_id}
WHERE claimed.status = 'queued' AND claimed.due_at IS NOT NULL AND claimed.crashes = 0
ORDER BY ranked.place LIMIT :limit FOR UPDATE OF claimed SKIP LOCKED
"""
CLAIM_SQL: dict[Table, str] = {
    Job: _CLAIM.format(table="jobs", job_id="id", is_overdue="coalesce(claimed.deadline_at <= now(), false)"),
    Output: _CLAIM.format(table="outputs", job_id="job_id", is_overdue="false"),
}

# Racing workers skip each other's rows, so look a few claims further than the limit.
WINDOW_FACTOR = 4


@dataclass(frozen=True)
class Candidate:
    """A locked row that may be claimed, unless it is overdue. `rank` compares those of both tables."""

    table: Table
    id: UUID
    api_key_id: UUID
    pixels: int
    is_overdue: bool = False
    rank: tuple[float, ...] = ()


def lock_due(session: Session, *, limit: int, first: int) -> list[Candidate]:
    """Lock up to `limit` due healthy rows, best first; the oldest of lane `first` leads its key's. Until commit."""
    found = []
    for table in TABLES:
        amounts = {"limit": limit, "window": limit * WINDOW_FACTOR, "first": first}
        for row_id, key_id, pixels, is_overdue, *rank in session.execute(text(CLAIM_SQL[table]), amounts):
            found.append(Candidate(table, row_id, key_id, pixels, is_overdue, tuple(rank)))
    return sorted(found, key=lambda candidate: candidate.rank)[:limit]


def lock_suspect(session: Session) -> list[Candidate]:
    """Lock the oldest due row that was in a crashed worker's hands, or none."""
    for table in TABLES:
        query = (
            select(table.id, table.api_key_id)
            .where(table.status == JobStatus.QUEUED, table.crashes > 0, table.due_at <= func.now())
            .order_by(table.due_at, table.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        found = [Candidate(table, row_id, key_id, 0) for row_id, key_id in session.execute(query)]
        if found:
            return found
    return []


def has_suspect(session: Session) -> bool:
    """Whether a row that was in a crashed worker's hands is due."""
    due = [
        exists().where(table.status == JobStatus.QUEUED, table.crashes > 0, table.due_at <= func.now())
        for table in TABLES
    ]
    return bool(session.scalar(select(or_(*due))))


def has_waited(session: Session, *, seconds: float) -> bool:
    """Whether a row has been due for longer than `seconds` and nobody took it."""
    past = func.now() - timedelta(seconds=seconds)
    # Healthy and suspect rows apart, as each partial index has them.
    due = [
        exists().where(table.status == JobStatus.QUEUED, table.due_at < past, table.due_at.is_not(None), is_so)
        for table in TABLES
        for is_so in (crashed(table.crashes, 0) for crashed in (eq, gt))
    ]
    return bool(session.scalar(select(or_(*due))))


def lease(session: Session, table: type[Row], ids: Sequence[UUID], *, worker: str, lease_s: float) -> list[Row]:
    """Give the locked rows to `worker`: processing, attempt + 1, leased on the database's clock. Order is kept."""
    started = {"started_at": func.coalesce(Job.started_at, func.now())} if table is Job else {}
    query = (
        update(table)
        .where(table.id.in_(ids), table.status == JobStatus.QUEUED)
        .values(
            status=JobStatus.PROCESSING,
            attempt=table.attempt + 1,
            worker=worker,
            leased_until=func.now() + timedelta(seconds=lease_s),
            **started,
        )
        .returning(table)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    rows = {row.id: row for row in session.scalars(query)}
    return [rows[row_id] for row_id in ids if row_id in rows]


def take_turn(
    session: Session,
    key_ids: Sequence[UUID],
    *,
    column: InstrumentedAttribute[datetime | None] = ApiKey.last_claimed_at,
) -> None:
    """Note in `column` that these keys were served now.

    A row that another worker just notes is skipped: nobody waits here.
    """
    free = select(ApiKey.id).where(ApiKey.id.in_(key_ids)).with_for_update(skip_locked=True, key_share=True)
    session.execute(
        update(ApiKey)
        .where(ApiKey.id.in_(free.scalar_subquery()))
        .values({column: func.clock_timestamp()})
        .execution_options(synchronize_session=False)
    )


def renew(session: Session, held: Sequence[tuple[UUID, int]], *, lease_s: float) -> None:
    """Extend the leases of rows still held under these attempts; ids of both tables are of one kind."""
    for table in TABLES if held else ():
        query = (
            update(table)
            .where(table.id == bindparam("held_id"), table.attempt == bindparam("held_attempt"))
            .where(table.status == JobStatus.PROCESSING, table.made_at.is_(None))
            .values(leased_until=func.now() + timedelta(seconds=lease_s))
            .execution_options(synchronize_session=False)
        )
        session.connection().execute(query, [{"held_id": i, "held_attempt": a} for i, a in held])
