"""Faults around the drain: crashes, lost databases, slow work, orders to stop."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from config.settings import Settings
from db.base import JobStatus
from db.models import Job
from jobs import claiming, work
from tests.factories import make_key
from tests.gpu_worker import GpuWorld, photo


@pytest.fixture
def world(settings: Settings) -> Iterator[GpuWorld]:
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1, "lease_s": 1.5, "heartbeat_s": 0.2}))
    yield world
    world.close()


def lose(world: GpuWorld) -> int:
    """What the sweeper does with leases that ran out; here all leases ran out."""
    with world.res.sessions.begin() as session:
        session.execute(update(Job).values(leased_until=func.now()).where(Job.status == JobStatus.PROCESSING))
    with world.res.sessions.begin() as session:
        return work.return_lost(session, max_crashes=3, limit=100)


def claim_and_vanish(world: GpuWorld, count: int) -> None:
    """A worker that took jobs and was killed."""
    with world.res.sessions.begin() as session:
        assert len(claiming.claim(session, world.res.terms, limit=count, megapixels=1e6)) == count
    assert lose(world) == count


def test_suspects_run_alone_after_healthy_work(world: GpuWorld) -> None:
    suspects = [world.add(photo(product=(n, 0, 0))) for n in range(3)]
    claim_and_vanish(world, 3)
    healthy = [world.add(photo(product=(n, 9, 0))) for n in range(4)]
    world.drain()
    world.assert_each_done_once(suspects + healthy)
    assert world.segmenter.microbatches == [4, 1, 1, 1]
    assert [world.job(job_id).crashes for job_id in suspects + healthy] == [1, 1, 1, 0, 0, 0, 0]


def test_suspects_get_their_turn_while_healthy_work_never_ends(world: GpuWorld) -> None:
    suspects = [world.add(photo(product=(n, 0, 0))) for n in range(3)]
    claim_and_vanish(world, 3)
    added = [world.add(photo(product=(0, 9, 0)))]

    def feed(_: object) -> None:
        if world.statuses(suspects) != [JobStatus.SUCCEEDED] * 3 and len(added) < 500:
            added.append(world.add(photo(product=(len(added) % 90, 9, len(added) // 90))))
            time.sleep(0.02)

    world.segmenter.before_predict = feed
    world.drain()
    assert len(added) < 500
    world.assert_each_done_once(suspects + added)


def test_a_late_workers_finish_is_refused_and_leaves_no_file(world: GpuWorld) -> None:
    job_id = world.add()

    def be_late(_: object) -> None:
        world.segmenter.before_predict = lambda _: None
        lose(world)

    world.segmenter.before_predict = be_late
    world.drain()  # the first attempt is refused, then this drain runs the suspect
    world.assert_each_done_once([job_id])
    assert (world.job(job_id).attempt, world.job(job_id).crashes) == (2, 1)
    assert world.outputs(job_id)[0].key.split("/")[-2] == "2"


def test_a_slow_batch_keeps_its_lease(world: GpuWorld) -> None:
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(3)]
    lost: list[int] = []

    def be_slow(_: object) -> None:
        for _ in range(10):  # twice the lease
            time.sleep(0.3)
            with world.res.sessions.begin() as session:
                lost.append(work.return_lost(session, max_crashes=3, limit=100))

    world.segmenter.before_predict = be_slow
    with world.res.heartbeat:
        world.drain()
    assert set(lost) == {0}
    world.assert_each_done_once(jobs)
    assert {world.job(job_id).attempt for job_id in jobs} == {1}


def test_told_to_stop_it_finishes_what_is_begun_and_gives_back_the_rest(world: GpuWorld) -> None:
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(20)]
    world.segmenter.before_predict = lambda _: world.res.stop.set()
    world.drain()
    done = [job_id for job_id in jobs if world.job(job_id).status is JobStatus.SUCCEEDED]
    rest = [job_id for job_id in jobs if job_id not in done]
    assert len(done) == 8
    assert set(world.statuses(rest)) == {JobStatus.QUEUED}
    with world.res.sessions() as session:
        rows = session.execute(select(Job.crashes, Job.retries, Job.leased_until).distinct()).all()
    assert [tuple(row) for row in rows] == [(0, 0, None)]
    world.assert_each_done_once(done)
    world.res.stop.clear()
    world.segmenter.before_predict = lambda _: None
    world.drain()
    world.assert_each_done_once(jobs)


def test_told_to_stop_again_it_gives_back_all_it_holds(world: GpuWorld) -> None:
    job_id = world.add()
    exits: list[int] = []
    heartbeat = world.res.heartbeat
    heartbeat._exit = exits.append
    reached, go_on = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        reached.set()
        assert go_on.wait(30)

    world.segmenter.before_predict = hang
    drain = threading.Thread(target=world.drain)
    drain.start()
    assert reached.wait(30)
    heartbeat.leave()
    heartbeat.check()
    assert exits == []
    heartbeat.leave(now=True)
    heartbeat.check()
    assert exits == [0]
    job = world.job(job_id)
    assert (job.status, job.crashes) == (JobStatus.QUEUED, 0)
    go_on.set()
    drain.join()


def test_connections_that_break_at_the_commit(world: GpuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the commit, and after it, before its answer: the worst moments."""
    jobs = [world.add(photo(product=(n, 0, 0)), webhook_url="https://catalog.example/hook") for n in range(4)]
    moments: Counter[str] = Counter()
    complete = work.complete

    def marked(session: Session, *args: Any, **kwargs: Any) -> bool:
        session.info["completes"] = True
        return complete(session, *args, **kwargs)

    def break_off(moment: str, session: Session) -> None:
        if session.info.get("completes"):
            moments[moment] += 1
            if moments[moment] % 2 == 1:
                raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(work, "complete", marked)
    listeners = {moment: partial(break_off, moment) for moment in ("before_commit", "after_commit")}
    for moment, listener in listeners.items():
        event.listen(world.res.sessions, moment, listener)
    world.drain()
    for moment, listener in listeners.items():
        event.remove(world.res.sessions, moment, listener)
    assert moments["before_commit"] > 4
    assert moments["after_commit"] >= 4
    world.assert_each_done_once(jobs)
    assert {world.job(job_id).attempt for job_id in jobs} == {1}


def test_connections_that_the_server_ends_cost_nothing(world: GpuWorld) -> None:
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(6)]

    def end_all(_: object) -> None:
        with world.res.sessions.begin() as session:
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    world.segmenter.before_predict = end_all
    world.drain()
    world.assert_each_done_once(jobs)


def test_a_claim_while_the_database_is_away_ends_the_drain_quietly(
    world: GpuWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = world.add()

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("the database system is starting up"))

    with monkeypatch.context() as patch:
        patch.setattr(claiming, "claim", refuse)
        world.drain()
    assert world.job(job_id).status is JobStatus.QUEUED
    world.drain()
    world.assert_each_done_once([job_id])


def test_a_drain_that_breaks_off_gives_back_what_it_claimed(world: GpuWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(3)]
    claim, calls = claiming.claim, []

    def once(session: Session, terms: claiming.Terms, **_: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("no one thought of this")
        return claim(session, terms, limit=1, megapixels=1e6)

    with monkeypatch.context() as patch:
        patch.setattr(claiming, "claim", once)
        with pytest.raises(RuntimeError):
            world.drain()
    assert world.res.pulse.held() == []
    assert world.statuses(jobs) == [JobStatus.QUEUED] * 3
    world.drain()
    world.assert_each_done_once(jobs)


def test_the_slice_ends_and_rings_again(settings: Settings) -> None:
    world = GpuWorld(settings.model_copy(update={"decode_processes": 1, "slice_s": 0.2, "microbatch_images": 1}))
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(10)]
    world.segmenter.before_predict = lambda _: time.sleep(0.1)
    rounds = 0
    while JobStatus.QUEUED in world.statuses(jobs):
        rounds += 1
        world.drain()
        with world.celery.connection_for_read() as connection:
            assert connection.default_channel.client.llen("gpu") >= 1
        assert JobStatus.PROCESSING not in world.statuses(jobs)
    assert rounds > 2
    world.assert_each_done_once(jobs)
    world.close()


def test_a_photo_of_another_key_is_taken_before_all_that_is_not_in_flight(world: GpuWorld) -> None:
    jobs = [world.add(photo(product=(n, 0, 0))) for n in range(40)]
    late = []

    def submit_for_another(_: object) -> None:
        world.segmenter.before_predict = lambda _: None
        with world.res.sessions.begin() as session:
            key = make_key(session, "other").id
        late.append(world.add(key=key))

    world.segmenter.before_predict = submit_for_another
    world.drain()
    with world.res.sessions() as session:
        order = list(session.scalars(select(Job.id).order_by(Job.completed_at)))
    assert len(order) == len(jobs) + 1
    # In flight when it came: the microbatch in the forward, and two that are being decoded.
    assert order.index(late[0]) < 8 * 4


def test_the_heartbeat_tells_model_progress_and_totals(world: GpuWorld) -> None:
    with world.res.heartbeat:
        world.add()
        world.drain()
        with world.res.sessions() as session:
            [row] = session.execute(text("SELECT kind, model_version, runtime, totals, progress_at FROM workers")).all()
    assert tuple(row[:3]) == ("gpu", "fake@1", "fake-cpu")
    assert row.totals["jobs"] == 1
    assert row.progress_at is not None
    with world.res.sessions() as session:
        assert session.execute(text("SELECT count(*) FROM workers")).scalar() == 0
