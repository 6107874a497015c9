"""How a worker takes work: rows, by priority, fair between keys, oldest due first, never twice.

PostgreSQL refuses FOR UPDATE beside window functions, and sorting a million queued rows for each claim would cost
seconds. So the claim walks the partial index `ix_jobs_claim`: a recursive query hops from one (priority, key) lane
to the next, LATERAL takes the oldest few of each, and only those few are ranked and locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.orm import Session

from db.models import ApiKey, Job, JobStatus

# Ranked candidates, then locked in that order; rows that another worker holds are skipped. Within a priority the
# keys take turns: everybody's first photo before anybody's second, the key that was served longest ago first.
_CLAIM = text("""
WITH RECURSIVE lanes AS (
    (SELECT priority, api_key_id FROM jobs
     WHERE status = 'queued' AND due_at IS NOT NULL AND crashes = 0
     ORDER BY priority, api_key_id LIMIT 1)
    UNION ALL
    SELECT next.priority, next.api_key_id FROM lanes CROSS JOIN LATERAL (
        SELECT priority, api_key_id FROM jobs
        WHERE status = 'queued' AND due_at IS NOT NULL AND crashes = 0
          AND (priority, api_key_id) > (lanes.priority, lanes.api_key_id)
        ORDER BY priority, api_key_id LIMIT 1) AS next
),
candidates AS (
    SELECT oldest.id, oldest.due_at, lanes.priority, keys.last_claimed_at,
           row_number() OVER (PARTITION BY lanes.priority, lanes.api_key_id
                              ORDER BY oldest.due_at, oldest.id) AS turn
    FROM lanes JOIN api_keys AS keys ON keys.id = lanes.api_key_id CROSS JOIN LATERAL (
        SELECT id, due_at FROM jobs
        WHERE status = 'queued' AND due_at IS NOT NULL AND crashes = 0
          AND priority = lanes.priority AND api_key_id = lanes.api_key_id AND due_at <= now()
        ORDER BY due_at, id LIMIT :window) AS oldest
),
ranked AS (
    SELECT id, row_number() OVER (ORDER BY priority, turn, last_claimed_at NULLS FIRST, due_at, id) AS place
    FROM candidates ORDER BY place LIMIT :window
)
SELECT jobs.id, jobs.api_key_id, jobs.input_width::bigint * jobs.input_height AS pixels
FROM ranked JOIN jobs ON jobs.id = ranked.id
WHERE jobs.status = 'queued' AND jobs.due_at IS NOT NULL AND jobs.crashes = 0
ORDER BY ranked.place LIMIT :limit FOR UPDATE OF jobs SKIP LOCKED
""")

# Racing workers skip each other's rows, so look a few claims further than the limit.
_WINDOW_FACTOR = 4


@dataclass(frozen=True)
class Candidate:
    """A locked row that may be claimed."""

    id: UUID
    api_key_id: UUID
    pixels: int


def lock_due(session: Session, *, limit: int) -> list[Candidate]:
    """Lock up to `limit` due healthy jobs, best first. They stay locked until commit."""
    rows = session.execute(_CLAIM, {"limit": limit, "window": limit * _WINDOW_FACTOR})
    return [Candidate(*row) for row in rows]


def lock_suspect(session: Session) -> list[Candidate]:
    """Lock the oldest due job that was in a crashed worker's hands, or none."""
    query = (
        select(Job.id, Job.api_key_id, Job.input_width * Job.input_height)
        .where(Job.status == JobStatus.QUEUED, Job.crashes > 0, Job.due_at <= func.now())
        .order_by(Job.due_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return [Candidate(job_id, key_id, pixels or 0) for job_id, key_id, pixels in session.execute(query)]


def has_suspect(session: Session) -> bool:
    """Whether a job that was in a crashed worker's hands is due."""
    query = select(Job.id).where(Job.status == JobStatus.QUEUED, Job.crashes > 0, Job.due_at <= func.now())
    return session.scalar(query.limit(1)) is not None


def has_waited(session: Session, *, seconds: float) -> bool:
    """Whether a job has been due for longer than `seconds` and nobody took it."""
    query = select(Job.id).where(Job.status == JobStatus.QUEUED, Job.due_at < func.now() - timedelta(seconds=seconds))
    return session.scalar(query.limit(1)) is not None


def lease(session: Session, ids: Sequence[UUID], *, worker: str, lease_s: float) -> Sequence[Job]:
    """Give the locked jobs to `worker`: processing, attempt + 1, leased on the database's clock. Order is kept."""
    query = (
        update(Job)
        .where(Job.id.in_(ids), Job.status == JobStatus.QUEUED)
        .values(
            status=JobStatus.PROCESSING,
            attempt=Job.attempt + 1,
            worker=worker,
            leased_until=func.now() + timedelta(seconds=lease_s),
            started_at=func.coalesce(Job.started_at, func.now()),
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    jobs = {job.id: job for job in session.scalars(query)}
    return [jobs[job_id] for job_id in ids if job_id in jobs]


def take_turn(session: Session, key_ids: Sequence[UUID]) -> None:
    """Note that these keys were served now. A row that another worker just notes is skipped: nobody waits here."""
    free = select(ApiKey.id).where(ApiKey.id.in_(key_ids)).with_for_update(skip_locked=True, key_share=True)
    session.execute(
        update(ApiKey)
        .where(ApiKey.id.in_(free.scalar_subquery()))
        .values(last_claimed_at=func.clock_timestamp())
        .execution_options(synchronize_session=False)
    )


def renew(session: Session, held: Sequence[tuple[UUID, int]], *, lease_s: float) -> None:
    """Extend the leases of jobs still held under these attempts."""
    query = (
        update(Job)
        .where(Job.id == bindparam("held_id"), Job.attempt == bindparam("held_attempt"))
        .where(Job.status == JobStatus.PROCESSING)
        .values(leased_until=func.now() + timedelta(seconds=lease_s))
        .execution_options(synchronize_session=False)
    )
    if held:
        session.connection().execute(query, [{"held_id": i, "held_attempt": a} for i, a in held])
