"""The io worker's drain: slots, fairness between hosts, doorbells, an orderly end."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import func, select, text, update

from config.settings import Settings
from db.models import Fetch, Job
from db.session import Sessions
from db.webhook_models import DeliveryStatus, WebhookDelivery
from dispatch.names import Bell
from jobs import service
from jobs.egress import Policy
from jobs.ids import job_public_id
from tests.factories import make_job, make_key
from tests.photo_files import save
from tests.receivers import Received, Receiver, reply
from worker import io
from worker.http import HttpClient

PHOTO = save(np.full((4, 6, 3), 200, np.uint8), "PNG")
Build = Callable[..., io.IoResources]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200, PHOTO)) as server:
        yield server


@pytest.fixture
def build(settings: Settings, receiver: Receiver) -> Iterator[Build]:
    """Builds io workers; every name leads to the receiver."""
    built = []

    def make(**changes: object) -> io.IoResources:
        chosen = Settings(
            **{**settings.model_dump(), "egress_allow": (receiver.allow,), "io_concurrency": 8, **changes}
        )
        client = HttpClient(Policy.from_settings(chosen), resolver=lambda _: ["127.0.0.1"])
        built.append(io.build(chosen, client=client))
        return built[-1]

    yield make
    for res in built:
        res.close()


def make_events(sessions: Sessions, url: str, count: int) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        for _ in range(count):
            job = make_job(session, key, webhook_url=url)
            service.cancel(session, job_public_id(job.id), api_key_id=key)


def make_fetches(sessions: Sessions, url: str, count: int) -> None:
    with sessions.begin() as session:
        key = make_key(session).id
        for _ in range(count):
            make_job(session, key, source=url)


def in_background(res: io.IoResources) -> threading.Thread:
    thread = threading.Thread(target=io.drain, args=(res,))
    thread.start()
    return thread


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def delivered(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(
            select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.status == DeliveryStatus.DELIVERED)
        )


def arrived(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.input_key.is_not(None)))


def test_a_dead_endpoint_does_not_delay_others(build: Build, sessions: Sessions, receiver: Receiver) -> None:
    """Fifty events wait for an endpoint that never answers; those of another go out all the same."""
    release = threading.Event()
    receiver.routes["/dead"] = lambda _: _after(release)
    make_events(sessions, receiver.url("/dead", host="dead.example"), 50)
    make_events(sessions, receiver.url("/alive", host="alive.example"), 10)
    res = build()
    thread = in_background(res)
    wait_until(lambda: delivered(sessions) == 10)
    calls = Counter(request.target for request in receiver.received)
    assert calls["/alive"] == 10
    assert calls["/dead"] < 8
    res.stop.set()
    release.set()
    thread.join()


def test_a_slow_photo_server_delays_neither_other_photos_nor_webhooks(build, sessions, receiver) -> None:
    release = threading.Event()
    receiver.routes["/dead"] = lambda _: _after(release)
    make_fetches(sessions, receiver.url("/dead", host="dead.example"), 20)
    make_fetches(sessions, receiver.url("/photo", host="alive.example"), 5)
    make_events(sessions, receiver.url("/hook", host="alive.example"), 5)
    with sessions() as session:
        uploaded = session.scalar(select(func.count()).select_from(Job).where(Job.input_key.is_not(None)))
    res = build()
    thread = in_background(res)
    wait_until(lambda: delivered(sessions) == 5 and arrived(sessions) == uploaded + 5)
    res.stop.set()
    release.set()
    thread.join()


def _after(event: threading.Event) -> Iterator[bytes]:
    event.wait(20)
    yield from reply(200, PHOTO)


def test_calls_run_side_by_side_up_to_the_limit(build: Build, sessions: Sessions, receiver: Receiver) -> None:
    lock = threading.Lock()
    now_and_most = [0, 0]

    def count(_: Received) -> Iterator[bytes]:
        with lock:
            now_and_most[0] += 1
            now_and_most[1] = max(now_and_most)
        time.sleep(0.2)
        with lock:
            now_and_most[0] -= 1
        yield from reply(200)

    receiver.routes["/hook"] = count
    for host in ("a", "b", "c", "d"):
        make_events(sessions, receiver.url("/hook", host=f"{host}.example"), 6)
    res = build()
    threads = [in_background(res) for _ in range(3)]  # three doorbells at a time share the slots
    for thread in threads:
        thread.join()
    assert delivered(sessions) == len(receiver.received) == 24
    assert 4 <= now_and_most[1] <= 8


def test_one_drain_delivers_all_that_one_host_gets(build: Build, sessions: Sessions, receiver: Receiver) -> None:
    """A host's share of the slots is small; what it keeps waiting is not forgotten."""
    make_events(sessions, receiver.url("/hook"), 25)
    io.drain(build(io_concurrency=4))
    assert delivered(sessions) == 25


def test_what_comes_due_meanwhile_is_taken_by_the_same_drain(build: Build, sessions, receiver) -> None:
    release = threading.Event()
    receiver.routes["/slow"] = lambda _: _after(release)
    make_events(sessions, receiver.url("/slow", host="slow.example"), 1)
    res = build()
    thread = in_background(res)
    wait_until(lambda: len(receiver.received) == 1)
    make_events(sessions, receiver.url("/hook"), 3)
    wait_until(lambda: delivered(sessions) == 3)
    assert thread.is_alive()
    release.set()
    thread.join()
    assert delivered(sessions) == 4


def test_the_bell_is_answered_before_looking(build: Build, broker: str) -> None:
    res = build()
    assert res.bell.ring(Bell.IO)
    assert res.bell.ring(Bell.IO)  # coalesced
    with Redis.from_url(broker) as redis:
        assert redis.llen("io") == 1
        io.drain(res)
        assert res.bell.ring(Bell.IO)
        assert redis.llen("io") == 2


def test_an_arrived_photo_rings_for_a_gpu_worker(build: Build, sessions, receiver, broker: str) -> None:
    make_fetches(sessions, receiver.url("/photo"), 3)
    io.drain(build())
    with Redis.from_url(broker) as redis:
        assert redis.llen("gpu") == 1


def test_a_dead_broker_costs_nothing_but_the_ring(build, sessions, receiver) -> None:
    make_fetches(sessions, receiver.url("/photo"), 2)
    io.drain(build(broker_url="redis://127.0.0.1:1/0"))
    assert arrived(sessions) == 2


def test_stop_finishes_what_is_in_flight_and_takes_nothing_new(build: Build, sessions, receiver) -> None:
    release = threading.Event()
    receiver.routes["/slow"] = lambda _: _after(release)
    make_events(sessions, receiver.url("/slow", host="slow.example"), 6)
    res = build()
    thread = in_background(res)
    wait_until(lambda: len(receiver.received) >= 2)
    res.stop.set()
    release.set()
    thread.join(5)
    assert not thread.is_alive()
    assert delivered(sessions) == len(receiver.received) < 6
    with sessions() as session:
        untouched = session.scalars(select(WebhookDelivery.attempt).where(WebhookDelivery.attempt == 0)).all()
    assert len(untouched) == 6 - len(receiver.received)


def test_progress_is_reported(build: Build, sessions: Sessions, receiver: Receiver) -> None:
    moves: list[None] = []
    make_events(sessions, receiver.url("/hook"), 3)
    res = build()
    io.drain(res, moved=lambda: moves.append(None))
    assert moves
    seen = len(moves)
    io.drain(res, moved=lambda: moves.append(None))
    assert len(moves) == seen


def test_a_settle_that_breaks_off_leaves_the_row_to_its_lease(build: Build, sessions, receiver) -> None:
    """The database goes away between call and commit: the lease lapses, the photo is fetched again."""

    def cut(_: Received) -> list[bytes]:
        if len(receiver.received) == 1:
            with sessions.begin() as session:
                session.execute(text("ALTER TABLE jobs RENAME TO jobs_away"))
        return reply(200, PHOTO)

    receiver.routes["/photo"] = cut
    make_fetches(sessions, receiver.url("/photo"), 1)
    res = build()
    io.drain(res)
    wait_until(lambda: not io._running(res))
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE jobs_away RENAME TO jobs"))
        [row] = session.scalars(select(Fetch))
        assert (row.attempt, row.due_at is not None) == (1, True)
        session.execute(update(Fetch).values(due_at=func.now()))
    io.drain(res)
    assert arrived(sessions) == 1
