"""Queries on PUTs: rows with leases of their own, as in `db.outgoing`.

Rows of one job are locked in one order everywhere: the job, its fetch, its outputs, its PUTs, its matte. In two orders
two transactions would wait for each other, and PostgreSQL would end one of them. A further output's maker holds its
output without the job, so whoever takes a PUT takes its output before (`_lock_outputs`), a purge too (`db.purging`).
And the second change of an output in one transaction has its foreign key checked, which takes a key share of the job:
so nobody locks a job that may have further outputs more than FOR NO KEY UPDATE, which lets key shares be.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.orm import Session

from db.claims import take_turn
from db.fair_queues import FairQueues
from db.key_models import ApiKey
from db.models import Job, Output
from db.put_models import Put, PutStatus

PUTS = FairQueues("puts", "id", "due_at IS NOT NULL", "host_md5", "last_put_at", has_priority=True)

_OPEN = (PutStatus.WAITING, PutStatus.PENDING)


@dataclass(frozen=True)
class PutRow:
    """A PUT that was claimed, with the file that it sends."""

    put: Put
    output: Output | None
    traceparent: str | None = None  # of its job, as is the next
    batch_id: UUID | None = None


def add(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert PUTs; they wait for their outputs."""
    if rows:
        session.execute(insert(Put), rows)


def start(session: Session, job_id: UUID, *, name: str | None) -> Sequence[Put]:
    """The output of that name is made (None: those that were asked for with the job): its PUT is due at once."""
    of_these = ~Put.is_further if name is None else Put.name == name
    return session.scalars(
        update(Put)
        .where(Put.job_id == job_id, Put.status == PutStatus.WAITING, of_these)
        .values(status=PutStatus.PENDING, due_at=func.now())
        .returning(Put)
        .execution_options(synchronize_session=False)
    ).all()


def claim(
    session: Session, *, limit: int, lease_s: float, busy_hosts: Collection[str] = (), first: int = 0
) -> Sequence[PutRow]:
    """Take due PUTs: attempt and tries + 1, not due again before the lease is over. Those of `busy_hosts` are left.

    Keys take turns; of a key the oldest of lane `first` leads.
    """
    due = PUTS.lock_due(session, limit=limit, busy=busy_hosts, first=first)
    if not due:
        return []
    session.execute(
        update(Put)
        .where(Put.id.in_(due))
        .values(attempt=Put.attempt + 1, tries=Put.tries + 1, due_at=func.now() + timedelta(seconds=lease_s))
        .execution_options(synchronize_session=False)
    )
    found = session.execute(
        select(Put, Output, Job.traceparent, Job.batch_id)
        .join(Job, Job.id == Put.job_id)
        .outerjoin(Output, (Output.job_id == Put.job_id) & (Output.name == Put.name))
        .where(Put.id.in_(due))
        .execution_options(populate_existing=True)
    )
    rows = {row[0].id: PutRow(*row) for row in found}
    take_turn(session, sorted({row.put.api_key_id for row in rows.values()}), column=ApiKey.last_put_at)
    return [rows[put_id] for put_id in due]


def settle(session: Session, put_id: UUID, *, attempt: int, **values: Any) -> Put | None:
    """Record how a try went; None, and nothing recorded, when the attempt is not the last one."""
    named = select(Put.job_id, Put.name).where(Put.id == put_id).subquery()
    _lock_outputs(session, (Output.job_id == named.c.job_id) & (Output.name == named.c.name))
    return session.scalar(
        update(Put)
        .where(Put.id == put_id, Put.attempt == attempt, Put.status == PutStatus.PENDING)
        .values(**values)
        .returning(Put)
        .execution_options(synchronize_session=False, populate_existing=True)
    )


FINAL: dict[str, Any] = {"url": None, "headers": None, "due_at": None, "completed_at": func.now()}
"""What every final PUT is left with, beside its status."""


def of_end(session: Session, put: Put) -> Sequence[Put]:
    """The PUTs that the end of a job waits for, in order; that of a further output has its end to itself."""
    if put.is_further:
        return [put]
    query = select(Put).where(Put.job_id == put.job_id, ~Put.is_further).order_by(Put.id)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def drop(session: Session, job_ids: Collection[UUID], *, name: str | None = None) -> None:
    """What is left to be put of jobs that have ended, or of their output of that name, is not."""
    named = Output.job_id.in_(job_ids)
    _lock_outputs(session, named if name is None else named & (Output.name == name))
    query = update(Put).where(Put.job_id.in_(job_ids), Put.status.in_(_OPEN))
    if name is not None:
        query = query.where(Put.name == name)
    dropped = session.scalars(
        query.values(status=PutStatus.CANCELED, **FINAL).returning(Put.id).execution_options(synchronize_session=False)
    ).all()
    show(session, dropped)


def _lock_outputs(session: Session, named: ColumnElement[bool]) -> None:
    """Before their PUTs, see the module's head. By id: two who lock several do it in one order as well."""
    session.execute(select(Output.id).where(named).order_by(Output.id).with_for_update(of=Output))


def show(session: Session, put_ids: Collection[UUID]) -> None:
    """Write on the outputs what readers see of their PUTs: never the URL."""
    columns = {
        "status": Put.status,
        "host": Put.host,
        "tries": Put.tries,
        "error": Put.error_detail,
        "completed_at": Put.completed_at,
    }
    shown = func.jsonb_build_object(*(part for named in columns.items() for part in named))
    session.execute(
        update(Output)
        .where(Put.id.in_(put_ids), Output.job_id == Put.job_id, Output.name == Put.name)
        .values(put=shown)
        .execution_options(synchronize_session=False)
    )
