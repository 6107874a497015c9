"""What workers and metrics ask reads indexes, however many jobs have ended."""

from collections.abc import Callable

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from db.claims import CLAIM_SQL, has_waited
from db.jobs import queue_depths
from db.models import Job
from db.session import Sessions
from tests.factories import make_job, make_key


def test_a_deaf_workers_question_reads_partial_indexes(sessions: Sessions) -> None:
    assert_reads_no_table(sessions, lambda session: has_waited(session, seconds=60))


def test_what_waits_is_counted_out_of_a_partial_index(sessions: Sessions) -> None:
    assert_reads_no_table(sessions, queue_depths)


def assert_reads_no_table(sessions: Sessions, ask: Callable[[Session], object]) -> None:
    asked = []
    with sessions() as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", lambda _c, _u, sql, given, *_: asked.append((sql, given)))
        ask(session)
        [(sql, given)] = asked
        connection.exec_driver_sql("SET enable_seqscan = off")  # without rows to speak of, tables are read whole
        plan = connection.exec_driver_sql(f"EXPLAIN {sql}", given).scalars().all()
    assert not any("Seq Scan" in line for line in plan), plan


@pytest.mark.parametrize("rows", [1000])
def test_the_claim_walks_its_index(sessions: Sessions, rows: int) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        make_job(session, key)
        columns = "api_key_id, status, due_at, input_width, input_height, params"
        session.execute(
            text(
                f"INSERT INTO jobs (id, {columns}) "
                f"SELECT gen_random_uuid(), {columns} FROM jobs, generate_series(1, {rows})"
            )
        )
    with sessions.begin() as session:
        session.execute(text("ANALYZE jobs"))
        plan = "\n".join(
            session.scalars(text("EXPLAIN " + CLAIM_SQL[Job]), {"limit": 8, "window": 32, "first": 0}).all()
        )
    assert plan.count("ix_jobs_claim") >= 2
    assert "Seq Scan on jobs" not in plan
