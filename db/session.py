"""Engines and sessions. Only entry points commit: `with sessions.begin() as session: ...` is one transaction."""

import select
import time
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, InternalError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from db import batch_models, key_models, put_models, webhook_models, worker_models  # noqa: F401 - foreign keys name their tables

Sessions = sessionmaker[Session]

DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""What a statement raises while the server restarts, is cut off, overrun, only readable after a failover, or has ended
a transaction that idled: the same again may work later."""

_LOST_LINK: dict[str, int] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A network path that silently carries nothing any more is noticed after about half a minute, by both ends: TCP alone
would wait for a quarter of an hour, with a job in its hands here and a row's lock there. Seconds, and milliseconds."""

_SERVER: dict[str, str | int] = {
    "timezone": "utc",
    "statement_timeout": 30_000,
    "idle_in_transaction_session_timeout": 60_000,
    "tcp_user_timeout": _LOST_LINK["tcp_user_timeout"],
    **{f"tcp_{name}": value for name, value in _LOST_LINK.items() if name.startswith("keepalives")},
}

# A connection that was used so lately is looked at before it is used again; one that was idle for longer is asked.
_TRUSTED_S = 5.0


def build_engine(database_url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3 for a `postgresql://` URL.

    Statements are bounded in time so that a stuck lock never hangs a request or a worker; connections that died
    with a restarted server are replaced before use.
    """
    url = database_url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        hide_parameters=True,  # an error's text ends in logs, and parameters are secrets and callers' data
        connect_args={
            "connect_timeout": 5,
            "application_name": "packshot",
            "options": " ".join(f"-c {name}={value}" for name, value in _SERVER.items()),
            **_LOST_LINK,
        },
    )
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkout", _require_alive)
    return engine


def _note_return(_connection: object, record: Any, *_: object) -> None:
    record.info["returned_at"] = time.monotonic()


def _require_alive(connection: psycopg.Connection, record: Any, *_: object) -> None:
    """Before a pooled connection is used: `InvalidatePoolError`, upon which the pool makes new ones, where it is dead.

    SQLAlchemy's own ping would ask the server each time, one more round trip to most requests.
    """
    returned_at = record.info.get("returned_at")
    if returned_at is None:  # a new one
        return
    try:
        if time.monotonic() - returned_at > _TRUSTED_S or _has_news(connection):
            connection.execute("SELECT 1")
            connection.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def _has_news(connection: psycopg.Connection) -> bool:
    """Whether an idle connection was sent something: most likely its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def build_sessions(engine: Engine) -> Sessions:
    """A session factory whose objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)


def build_autocommit(engine: Engine) -> Sessions:
    """As `build_sessions`, but each statement is a transaction of its own, without the round trips of one around it.

    For reads that need no common snapshot, which READ COMMITTED does not give them either.
    """
    return sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False)
