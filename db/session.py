"""Engines and sessions. Only entry points commit: `with sessions.begin() as session: ...` is one transaction."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from db import batch_models, key_models, webhook_models, worker_models  # noqa: F401 - foreign keys name their tables

Sessions = sessionmaker[Session]

DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""What a statement raises while the server restarts, is cut off, overrun, only readable after a failover, or has ended
a transaction that idled: the same again may work later."""


def build_engine(database_url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3 for a `postgresql://` URL.

    Statements are bounded in time so that a stuck lock never hangs a request or a worker; connections that died
    with a restarted server are replaced before use.
    """
    url = database_url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=10,
        hide_parameters=True,  # an error's text ends in logs, and parameters are secrets and callers' data
        connect_args={
            "connect_timeout": 5,
            "application_name": "packshot",
            "options": "-c timezone=utc -c statement_timeout=30000 -c idle_in_transaction_session_timeout=60000",
        },
    )


def build_sessions(engine: Engine) -> Sessions:
    """A session factory whose objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)
