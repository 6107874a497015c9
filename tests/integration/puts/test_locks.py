"""Two transactions that take the rows of one job: in one order, so that neither is ended by PostgreSQL."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from db import purging
from db.models import Job
from jobs import claiming, outputs, puts, service, work
from jobs.errors import JobError
from jobs.ids import job_public_id
from jobs.output_params import OutputParams
from jobs.put_params import PutTarget
from jobs.values import ClaimedJob, Outcome, StoredOutput
from tests.integration.puts.support import World

PATIENCE_S = 20.0


def wait_until_blocked(engine: Engine, pid: int) -> None:
    """Until the other connection waits for a lock of somebody."""
    ends_at = time.monotonic() + PATIENCE_S
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
        while time.monotonic() < ends_at:
            if watching.scalar(text("SELECT cardinality(pg_blocking_pids(:pid))"), {"pid": pid}):
                return
            time.sleep(0.02)
    pytest.fail("the second transaction never waited for the first")


def cross(world: World, first: Callable[[Session], Any], second: Callable[[Session], Any], *, after: str) -> Any:
    """`first` up to its first statement that begins with `after`, `second` until it waits, then both to their ends.

    Returns what `first` said; an error of either is raised.
    """
    engine = world.gpu.res.engine
    started = threading.Event()
    pid: list[int] = []

    def run_second() -> None:
        with world.io.sessions.begin() as session:
            pid.append(session.scalars(text("SELECT pg_backend_pid()")).one())
            started.set()
            second(session)

    with ThreadPoolExecutor(1) as pool, world.gpu.res.sessions.begin() as session:
        running = []

        def hold(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
            if not running and statement.startswith(after):
                running.append(pool.submit(run_second))
                assert started.wait(PATIENCE_S)
                wait_until_blocked(engine, pid[0])

        event.listen(session.connection(), "after_cursor_execute", hold)
        said = first(session)
        session.commit()
        assert running, "the first transaction never came so far"
        running[0].result(PATIENCE_S)
    return said


@pytest.fixture
def further(build: Callable[..., World]) -> tuple[World, ClaimedJob]:
    """A job that has succeeded, and its further output with a PUT in a gpu worker's hands."""
    world = build()
    job_id = world.gpu.add()
    world.gpu.drain()
    with world.io.sessions.begin() as session:
        target = PutTarget("more", world.url())
        outputs.add(session, job_public_id(job_id), OutputParams("more"), api_key_id=world.gpu.key, put=target)
    with world.io.sessions.begin() as session:
        [claimed] = claiming.claim(session, world.gpu.res.terms, limit=1, megapixels=1e6)
    return world, claimed


def finish(claimed: ClaimedJob) -> Callable[[Session], bool]:
    made = StoredOutput("more", "jobs/x/1/more.png", "png", "0" * 64, 1, 1, 1, None, False, None, {})
    outcome = Outcome([made], None, [], {}, "fake@1", "fake-cpu", {}, None)  # type: ignore[arg-type]
    return lambda session: work.complete(session, claimed, outcome)


def fail(claimed: ClaimedJob) -> Callable[[Session], bool]:
    return lambda session: work.fail(session, claimed, JobError("job_broke", "It broke."))


def put_back(claimed: ClaimedJob) -> Callable[[Session], bool]:
    away = JobError("storage_unavailable", "The store is away.", retryable=True)
    return lambda session: work.retry_or_fail(session, claimed, away, max_retries=3, backoff_s=1)


@pytest.mark.parametrize("ending", [finish, fail, put_back])
def test_a_delete_crosses_the_end_of_a_further_output(
    further: tuple[World, ClaimedJob], ending: Callable[[ClaimedJob], Callable[[Session], bool]]
) -> None:
    world, claimed = further
    public_id = job_public_id(claimed.id)
    said = cross(
        world,
        ending(claimed),
        lambda session: service.delete(session, public_id, api_key_id=world.gpu.key),
        after="UPDATE outputs",
    )
    assert said is True, "it was first"
    assert (world.gpu.outputs(claimed.id), world.puts(claimed.id)) == ([], [])


def test_the_end_of_a_further_output_crosses_a_delete(further: tuple[World, ClaimedJob]) -> None:
    world, claimed = further
    public_id = job_public_id(claimed.id)
    said: list[bool] = []
    cross(
        world,
        lambda session: service.delete(session, public_id, api_key_id=world.gpu.key),
        lambda session: said.append(finish(claimed)(session)),
        after="DELETE FROM outputs",
    )
    assert said == [False], "it is not ours any more"
    assert world.puts(claimed.id) == []


def test_the_end_of_a_put_crosses_a_delete(further: tuple[World, ClaimedJob]) -> None:
    world, claimed = further
    with world.gpu.res.sessions.begin() as session:
        assert finish(claimed)(session)
    with world.io.sessions.begin() as session:
        [put] = puts.claim(session, limit=1, lease_s=60)
    cross(
        world,
        lambda session: puts.arrive(session, put),
        lambda session: service.delete(session, job_public_id(claimed.id), api_key_id=world.gpu.key),
        after="UPDATE puts",
    )
    assert world.puts(claimed.id) == []


def test_the_last_user_of_a_matte_goes_while_an_earlier_one_is_deleted(build: Callable[..., World]) -> None:
    """The earlier one's files are purged already; the later one's purge forgets the matte in its row too."""
    world = build()
    earlier, later = world.gpu.add(), world.gpu.add()
    world.gpu.drain()
    with world.io.sessions.begin() as session:
        purging.purge_files(session, session.get_one(Job, earlier))
    assert world.gpu.job(earlier).matte_id == world.gpu.job(later).matte_id is not None

    def purge(session: Session) -> None:
        purging.purge_files(session, session.get_one(Job, later, with_for_update=True))

    with world.io.sessions.begin() as deleting, ThreadPoolExecutor(1) as pool:
        job = deleting.get_one(Job, earlier, with_for_update=True)
        pid: list[int] = []

        def run_purge() -> None:
            with world.gpu.res.sessions.begin() as session:
                pid.append(session.scalars(text("SELECT pg_backend_pid()")).one())
                purge(session)

        running = pool.submit(run_purge)
        while not pid:
            time.sleep(0.02)
        wait_until_blocked(world.gpu.res.engine, pid[0])
        assert purging.purge_files(deleting, job).keys == ()
        deleting.commit()
        running.result(PATIENCE_S)
    assert world.gpu.mattes() == []
