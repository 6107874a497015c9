"""Connections of the pool: dead ones are replaced before use, live ones are not asked each time."""

import time

import psycopg
import pytest
from sqlalchemy import text

from db import session as module
from db.session import Sessions, build_autocommit, build_engine, build_sessions


def backend(sessions: Sessions) -> int:
    """Process id of the server's side of the pooled connection."""
    with sessions.begin() as session:
        return session.scalars(text("SELECT pg_backend_pid()")).one()


def end(database: str, pid: int) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@pytest.mark.parametrize("trusted_s", [60.0, -1.0])
def test_a_connection_that_died_is_replaced_before_use(
    database: str, monkeypatch: pytest.MonkeyPatch, trusted_s: float
) -> None:
    monkeypatch.setattr(module, "_TRUSTED_S", trusted_s)
    engine = build_engine(database, pool_size=2)
    sessions = build_sessions(engine)
    with sessions() as first:
        first.execute(text("SELECT 1"))
        pids = {backend(sessions), first.scalars(text("SELECT pg_backend_pid()")).one()}
    for pid in pids:
        end(database, pid)
    with sessions() as first:
        first.execute(text("SELECT 1"))
        fresh = {backend(sessions), first.scalars(text("SELECT pg_backend_pid()")).one()}
    assert len(pids) == len(fresh) == 2
    assert not pids & fresh
    engine.dispose()


def test_only_a_connection_that_was_idle_is_asked(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    execute = psycopg.Connection.execute

    def note(connection: psycopg.Connection, query: str, *rest: object) -> object:
        asked.append(query)
        return execute(connection, query, *rest)

    monkeypatch.setattr(psycopg.Connection, "execute", note)
    engine = build_engine(database)
    sessions = build_sessions(engine)
    pids = {backend(sessions) for _ in range(3)}
    assert asked == []
    monkeypatch.setattr(module, "_TRUSTED_S", 0.0)
    time.sleep(0.01)
    assert pids == {backend(sessions)}
    assert asked == ["SELECT 1"]
    engine.dispose()


def test_without_a_transaction_around_them_statements_stand_alone(database: str) -> None:
    engine = build_engine(database)
    transaction, single = text("SELECT now()"), build_autocommit(engine)
    with build_sessions(engine).begin() as session:
        assert session.scalars(transaction).one() == session.scalars(transaction).one()
    with single() as session:
        assert session.scalars(transaction).one() < session.scalars(transaction).one()
        session.execute(text("CREATE TABLE kept (id int)"))
    with build_sessions(engine).begin() as session:
        assert session.scalars(text("SELECT count(*) FROM kept")).one() == 0
        assert session.scalars(transaction).one() == session.scalars(transaction).one()
    engine.dispose()
