"""How a change is noticed: what the database says of itself, and a signature of what a reader would see.

Triggers (migration 0007) notify `CHANNEL` of each change of a job's or an output's status and of a batch's status or
counts; the payload is the job's or batch's id, from there on the "topic". Inserts notify nobody, so fifty thousand new
rows cost nothing: NOTIFY takes one lock of the whole server at commit.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from uuid import UUID

import psycopg
from sqlalchemy import Select, Text, TextClause, bindparam, literal_column, select, text
from sqlalchemy.orm import Session, joinedload

from db.batch_models import Batch
from db.models import Job, Output

CHANNEL = "packshot"

Topic = type[Job] | type[Batch]

# What no reader sees; workers write some of it every few seconds.
_INNER = frozenset(
    {
        *("leased_until", "worker", "due_at", "retries", "crashes", "priority", "base_url", "webhook_url"),
        *("outages", "has_puts", "made_at"),
        *("counted_at", "cursor_line", "rate_per_s", "manifest_key", "made"),
    }
)


@dataclass(frozen=True)
class Peek:
    """A job or a batch at one look, without its files. `signature` changes when what a reader sees changes."""

    id: UUID
    is_final: bool
    signature: str


def peek(session: Session, topic: Topic, topic_id: UUID, *, api_key_id: UUID) -> Peek | None:
    """A job or batch of this key; deleted ones are gone."""
    row = session.execute(_peek_query(topic), {"id": topic_id, "api_key_id": api_key_id}).one_or_none()
    return None if row is None else Peek(*row)


def look_at_job(session: Session, job_id: UUID, *, api_key_id: UUID) -> tuple[Job, Peek] | None:
    """A job of this key with its outputs and matte, and its peek, out of one statement; deleted ones are gone."""
    found = session.execute(_look_query(), {"id": job_id, "api_key_id": api_key_id}).unique().one_or_none()
    if found is None:
        return None
    job, signature = found
    return job, Peek(job.id, job.completed_at is not None, signature)


def signatures(session: Session, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The signature of each job or batch; those that are gone are left out."""
    found: dict[UUID, str] = {}
    for topic in (Job, Batch):
        rows = session.execute(_signatures_query(topic), {"ids": list(ids)})
        found.update((topic_id, signature) for topic_id, signature in rows)
    return found


# Made once: an expression over all columns would cost more to build each time than the database needs for it.
@cache
def _look_query() -> Select[Job, str]:
    return (
        select(Job, literal_column(_signature(Job), Text))
        .where(Job.id == bindparam("id"), Job.api_key_id == bindparam("api_key_id"), Job.deleted_at.is_(None))
        .options(joinedload(Job.outputs), joinedload(Job.matte))
    )


@cache
def _peek_query(topic: Topic) -> TextClause:
    name = topic.__tablename__
    return text(
        f"SELECT id, completed_at IS NOT NULL, {_signature(topic)} FROM {name} "  # noqa: S608 - our own names
        f"WHERE id = :id AND api_key_id = :api_key_id AND deleted_at IS NULL"
    )


@cache
def _signatures_query(topic: Topic) -> TextClause:
    name = topic.__tablename__
    return text(
        f"SELECT id, {_signature(topic)} FROM {name} WHERE id = ANY(:ids) AND deleted_at IS NULL"  # noqa: S608 - likewise
    )


def _signature(topic: Topic) -> str:
    """SQL of 32 hexadecimal digits over the row's visible columns, and over those of a job's outputs."""
    if topic is not Job:
        return f"md5({_visible(topic)})"
    outputs = f"SELECT string_agg({_visible(Output)}, ',' ORDER BY outputs.name) FROM outputs"  # noqa: S608 - likewise
    return f"md5(concat({_visible(Job)}, ({outputs} WHERE outputs.job_id = jobs.id)))"


def _visible(table: type[Job | Batch | Output]) -> str:
    columns = [str(column) for column in table.__table__.columns if column.name not in _INNER]
    return f"CAST(ROW({', '.join(columns)}) AS text)"


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
