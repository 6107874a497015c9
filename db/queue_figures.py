"""How much work waits for a worker, and for how long: what a scrape, an alert or an autoscaler asks.

A lease, and a pause after a fault, is a due time in the future: so what is due is what nobody works on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.base import JobStatus
from db.batch_models import Batch
from db.claims import TABLES
from db.models import Fetch
from db.put_models import Put
from db.webhook_models import DeliveryStatus, WebhookDelivery


@dataclass(frozen=True)
class Waiting:
    """How many rows are due, and for how many seconds the oldest of them has been."""

    count: int = 0
    oldest_s: float = 0.0

    def __add__(self, other: "Waiting") -> "Waiting":
        return Waiting(self.count + other.count, max(self.oldest_s, other.oldest_s))


def due_jobs(session: Session) -> Mapping[int, Waiting]:
    """By lane (`jobs.lanes`): jobs and further outputs that wait for a gpu worker. Reads partial indexes alone."""
    found: dict[int, Waiting] = {}
    for table in TABLES:
        # Healthy and suspect rows apart, as each partial index has them.
        for crashed in (table.crashes == 0, table.crashes > 0):
            query = (
                select(table.priority, func.count(), func.min(table.due_at))
                .where(table.status == JobStatus.QUEUED, table.due_at.is_not(None), table.due_at <= func.now(), crashed)
                .group_by(table.priority)
            ).subquery()
            lane, count, since = query.columns
            for priority, number, age_s in session.execute(select(lane, count, _age_s(since))):
                found[priority] = found.get(priority, Waiting()) + Waiting(number, float(age_s))
    return found


def due_errands(session: Session) -> Mapping[str, Waiting]:
    """What waits for an io worker: downloads, PUTs of outputs, webhook calls, batches to be read."""
    pending = WebhookDelivery.status == DeliveryStatus.PENDING
    return {
        "fetch": _due(session, Fetch.due_at),
        "put": _due(session, Put.due_at),
        "webhook": _due(session, WebhookDelivery.due_at, pending),
        "batch": _due(session, Batch.due_at),
    }


def _due(session: Session, due_at: InstrumentedAttribute[object], *conditions: ColumnElement[bool]) -> Waiting:
    count, age_s = session.execute(
        select(func.count(), _age_s(func.min(due_at))).where(due_at <= func.now(), *conditions)
    ).one()
    return Waiting(count, float(age_s or 0))


def _age_s(since: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.extract("epoch", func.now() - since)
