"""Queries on worker heartbeats."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.worker_models import WorkerHeartbeat


def beat(session: Session, name: str, *, progressed: bool, **values: Any) -> None:
    """Write a worker's heartbeat; `progressed` when its loop moved since the last one."""
    stamps = {"beat_at": func.now(), **({"progress_at": func.now()} if progressed else {})}
    query = insert(WorkerHeartbeat).values(name=name, **values, **stamps)
    session.execute(query.on_conflict_do_update(index_elements=["name"], set_={**values, **stamps}))


def leave(session: Session, name: str) -> None:
    """Remove a worker's heartbeat when it shuts down in order."""
    session.execute(delete(WorkerHeartbeat).where(WorkerHeartbeat.name == name))


def forget_silent(session: Session, *, since: timedelta) -> int:
    """Remove heartbeats of workers that died long ago; returns how many."""
    gone = delete(WorkerHeartbeat).where(WorkerHeartbeat.beat_at < func.now() - since).returning(WorkerHeartbeat.name)
    return len(session.scalars(gone).all())


def live(session: Session, *, within_s: float) -> Sequence[WorkerHeartbeat]:
    """Workers heard of within the last `within_s` seconds."""
    return session.scalars(
        select(WorkerHeartbeat)
        .where(WorkerHeartbeat.beat_at > func.now() - timedelta(seconds=within_s))
        .order_by(WorkerHeartbeat.name)
    ).all()
