"""How a change is noticed: what the database says of itself, and a signature of what a reader would see.

Triggers (migration 0007) notify `CHANNEL` of each change of a job's or an output's status and of a batch's status or
counts; the payload is the job's or batch's id, from there on the "topic". Inserts notify nobody, so fifty thousand new
rows cost nothing: NOTIFY takes one lock of the whole server at commit.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from db.batch_models import Batch
from db.models import Job, Output

CHANNEL = "packshot"

Topic = type[Job] | type[Batch]

# What no reader sees; workers write some of it every few seconds.
_INNER = frozenset(
    {
        *("leased_until", "worker", "due_at", "retries", "crashes", "priority", "base_url", "webhook_url"),
        *("counted_at", "cursor_line", "rate_per_s", "manifest_key"),
    }
)


@dataclass(frozen=True)
class Peek:
    """A job or a batch at one look, without its files. `signature` changes when what a reader sees changes."""

    id: UUID
    is_final: bool
    signature: str


def signature(topic: Topic) -> ColumnElement[str]:
    """32 hexadecimal digits over the row's visible columns, and over those of a job's outputs."""
    parts: list[ColumnElement[str]] = [_visible(topic)]
    if topic is Job:
        each: ColumnElement[str] = aggregate_order_by(literal_column("','"), Output.name)
        outputs = select(func.string_agg(_visible(Output), each)).where(Output.job_id == Job.id)
        parts.append(outputs.correlate(Job).scalar_subquery())
    return func.md5(func.concat(*parts))


def _visible(table: type[Job | Batch | Output]) -> ColumnElement[str]:
    return cast(func.row(*(column for column in table.__table__.columns if column.name not in _INNER)), Text)


def peek(session: Session, topic: Topic, topic_id: UUID, *, api_key_id: UUID) -> Peek | None:
    """A job or batch of this key; deleted ones are gone."""
    row = session.execute(
        select(topic.id, topic.completed_at.is_not(None), signature(topic)).where(
            topic.id == topic_id, topic.api_key_id == api_key_id, topic.deleted_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else Peek(*row)


def signatures(session: Session, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The signature of each job or batch; those that are gone are left out."""
    found: dict[UUID, str] = {}
    for topic in (Job, Batch):
        rows = session.execute(select(topic.id, signature(topic)).where(topic.id.in_(ids), topic.deleted_at.is_(None)))
        found.update({topic_id: digest for topic_id, digest in rows})  # noqa: C416 - a Row is no tuple to mypy
    return found


@asynccontextmanager
async def listen(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection of its own that hears of changes. `psycopg.Error` when it can't be made."""
    connection = await psycopg.AsyncConnection.connect(
        database_url,
        autocommit=True,
        application_name="packshot listener",
        connect_timeout=5,
        keepalives_idle=15,
        keepalives_interval=5,
        keepalives_count=3,
    )
    async with connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        yield connection


async def heard(connection: psycopg.AsyncConnection, *, for_s: float) -> AsyncIterator[UUID]:
    """The topics notified of within `for_s` seconds. `psycopg.Error` when the connection is lost."""
    async for notification in connection.notifies(timeout=for_s):
        yield UUID(notification.payload)
    # A server that vanished without a word is noticed here.
    await connection.execute("SELECT 1")
