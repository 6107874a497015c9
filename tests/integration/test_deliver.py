"""Webhooks on their way: signed, retried by the rows' schedule, settled exactly once."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook

from config.settings import Settings
from db.session import Sessions
from db.webhook_models import DeliveryStatus, WebhookAttempt, WebhookDelivery
from jobs import deliveries, service
from jobs.ids import job_public_id
from jobs.webhooks import SCHEDULE
from tests.factories import make_job, make_key
from tests.receivers import Handler, Receiver, redirect, reply, trickle
from worker import deliver, io

Build = Callable[..., io.IoResources]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(204)) as server:
        yield server


@pytest.fixture
def build(settings: Settings, receiver: Receiver) -> Iterator[Build]:
    built = []

    def make(**changes: object) -> io.IoResources:
        chosen = Settings(**{**settings.model_dump(), "egress_allow": (receiver.allow,), **changes})
        built.append(io.build(chosen))
        return built[-1]

    yield make
    for res in built:
        res.close()


def make_event(sessions: Sessions, url: str) -> str:
    """A finished job with a webhook on its way; the secret of its key."""
    with sessions.begin() as session:
        key = make_key(session)
        job = make_job(session, key.id, webhook_url=url)
        service.cancel(session, job_public_id(job.id), api_key_id=key.id)
    return key.webhook_secret


def delivery_of(sessions: Sessions) -> WebhookDelivery:
    with sessions() as session:
        return session.scalars(select(WebhookDelivery)).one()


def attempts_of(sessions: Sessions) -> list[WebhookAttempt]:
    with sessions() as session:
        return list(session.scalars(select(WebhookAttempt).order_by(WebhookAttempt.number)))


def pause_of(sessions: Sessions) -> timedelta:
    with sessions() as session:
        return session.scalars(select(WebhookDelivery.due_at - func.now())).one()


def make_due(sessions: Sessions) -> None:
    """Warp time: what waits for its retry, or under a lease, is due now."""
    with sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(due_at=func.now()))


def test_an_event_is_delivered_and_verified_by_the_reference_library(build: Build, sessions, receiver) -> None:
    secret = make_event(sessions, receiver.url("/hook?tenant=1"))
    io.drain(build())
    [request] = receiver.received
    assert (request.method, request.target) == ("POST", "/hook?tenant=1")
    assert request.headers["content-type"] == "application/json"
    body = Webhook(secret).verify(request.body, request.headers)
    assert body["type"] == "job.canceled"
    assert body["data"]["urls"]["self"].startswith("https://packshot.example/v1/jobs/job_")
    assert request.headers["webhook-id"] == body["data"]["event_id"]
    assert secret.encode() not in request.body
    delivery = delivery_of(sessions)
    assert (delivery.status, delivery.attempt) == (DeliveryStatus.DELIVERED, 1)
    assert delivery.completed_at is not None
    [attempt] = attempts_of(sessions)
    assert (attempt.number, attempt.http_status, attempt.error) == (1, 204, None)
    io.drain(build())
    assert len(receiver.received) == 1


def test_a_failing_receiver_is_tried_ten_times_with_the_same_id(build: Build, sessions, receiver) -> None:
    receiver.routes["/hook"] = lambda _: reply(500, b"stack trace")
    secret = make_event(sessions, receiver.url("/hook"))
    res = build()
    for pause in SCHEDULE:
        io.drain(res)
        assert delivery_of(sessions).status is DeliveryStatus.PENDING
        assert pause * 0.9 < pause_of(sessions) <= pause * 1.1
        make_due(sessions)
    io.drain(res)
    delivery = delivery_of(sessions)
    assert (delivery.status, delivery.attempt) == (DeliveryStatus.EXHAUSTED, 10)
    make_due(sessions)
    io.drain(res)
    assert len(receiver.received) == 10
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert len({request.body for request in receiver.received}) == 1
    for request in receiver.received:
        Webhook(secret).verify(request.body, request.headers)
    assert [(a.number, a.http_status, a.response_excerpt) for a in attempts_of(sessions)] == [
        (number, 500, "stack trace") for number in range(1, 11)
    ]


def test_a_receiver_that_was_down_for_a_day_still_gets_its_event(build: Build, sessions, receiver) -> None:
    answers = [[]] * 5 + [reply(200)]
    receiver.routes["/hook"] = lambda _: answers[len(receiver.received) - 1]
    make_event(sessions, receiver.url("/hook"))
    res = build()
    for _ in range(6):
        io.drain(res)
        make_due(sessions)
    assert delivery_of(sessions).status is DeliveryStatus.DELIVERED
    assert [a.http_status for a in attempts_of(sessions)] == [None] * 5 + [200]


def test_gone_ends_the_delivery(build: Build, sessions, receiver) -> None:
    receiver.routes["/hook"] = lambda _: reply(410)
    make_event(sessions, receiver.url("/hook"))
    res = build()
    io.drain(res)
    make_due(sessions)
    io.drain(res)
    assert delivery_of(sessions).status is DeliveryStatus.GONE
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (reply(503, headers={"Retry-After": "3600"}), 3590, 3600),
        (reply(429), 58, 67),
        (reply(429, headers={"Retry-After": "99999999"}), 86_390, 86_400),
    ],
)
def test_an_overloaded_receiver_is_left_alone(build, sessions, receiver, answer, least: float, most: float) -> None:
    receiver.routes["/hook"] = lambda _: answer
    make_event(sessions, receiver.url("/hook"))
    io.drain(build())
    assert least < pause_of(sessions).total_seconds() <= most


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(build: Build, sessions, receiver, status: int) -> None:
    receiver.routes["/hook"] = lambda _: redirect(status, "/elsewhere")
    make_event(sessions, receiver.url("/hook"))
    io.drain(build())
    assert [request.target for request in receiver.received] == ["/hook"]
    assert delivery_of(sessions).status is DeliveryStatus.PENDING


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://127.0.0.1/", "http://[::1]/", "http://0x7f.1/", "file:///etc/passwd", "http://a b/"],
)
def test_a_closed_target_is_refused_without_a_call(build: Build, sessions, receiver, url: str) -> None:
    """The API refuses such a URL; a row that has one all the same gets no call either."""
    make_event(sessions, url)
    io.drain(build())
    [attempt] = attempts_of(sessions)
    assert attempt.http_status is None
    assert attempt.error
    assert delivery_of(sessions).status is DeliveryStatus.PENDING
    assert receiver.connections == 0


def _endless(_: object) -> Iterator[bytes]:
    yield b"HTTP/1.1 500 Oops\r\n\r\n"
    while True:
        yield b"\x00" * 65536


SLOW_OR_HUGE: dict[str, tuple[Handler, int | None]] = {
    "endless": (_endless, 500),
    "slow answer": (lambda _: trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.1), None),
    "slow success": (lambda _: _head_then_slowly(200), 200),
    "slow failure": (lambda _: _head_then_slowly(500), 500),
}


def _head_then_slowly(status: int) -> Iterator[bytes]:
    yield f"HTTP/1.1 {status} x\r\nContent-Length: 1000\r\n\r\n".encode()
    yield from trickle(b"z" * 1000, 0.1)


@pytest.mark.parametrize("how", SLOW_OR_HUGE)
def test_a_slow_or_huge_answer_is_cut_off(build: Build, sessions, receiver, how: str) -> None:
    handler, status = SLOW_OR_HUGE[how]
    receiver.routes["/hook"] = handler
    make_event(sessions, receiver.url("/hook"))
    res = build(webhook_timeout_s=0.7)
    started = time.monotonic()
    io.drain(res)
    assert time.monotonic() - started < 3
    [attempt] = attempts_of(sessions)
    assert attempt.http_status == status
    assert len((attempt.response_excerpt or "").encode()) <= 3 * 2048
    expected = DeliveryStatus.DELIVERED if status == 200 else DeliveryStatus.PENDING
    assert delivery_of(sessions).status is expected


def test_a_late_worker_changes_nothing(build: Build, sessions, receiver) -> None:
    """Its lease lapsed while it called; the second worker's outcome stands, and each try is on record once."""
    go_on = threading.Event()
    answers = iter([_after(go_on, reply(500)), reply(200)])
    receiver.routes["/hook"] = lambda _: next(answers)
    make_event(sessions, receiver.url("/hook"))
    res = build()
    needs = deliver.Delivering(res.sessions, res.client, 10.0, timedelta(days=5))
    late = threading.Thread(target=deliver.run, args=(needs, _claim(sessions)))
    late.start()
    while not receiver.received:
        time.sleep(0.01)
    make_due(sessions)
    deliver.run(needs, _claim(sessions))
    go_on.set()
    late.join()
    delivery = delivery_of(sessions)
    assert (delivery.status, delivery.attempt) == (DeliveryStatus.DELIVERED, 2)
    assert [(a.number, a.http_status) for a in attempts_of(sessions)] == [(2, 200)]
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1


def _after(event: threading.Event, pieces: list[bytes]) -> Iterator[bytes]:
    event.wait(10)
    yield from pieces


def _claim(sessions: Sessions) -> deliveries.ClaimedDelivery:
    with sessions.begin() as session:
        [claimed] = deliveries.claim(session, limit=8, lease_s=60)
    return claimed


def test_racing_workers_never_share_a_delivery(build: Build, sessions, receiver) -> None:
    for _ in range(12):
        make_event(sessions, receiver.url("/hook"))
    workers = [build(io_concurrency=4) for _ in range(3)]
    threads = [threading.Thread(target=io.drain, args=(res,)) for res in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(ids) == len(set(ids)) == 12
    assert {json.loads(request.body)["type"] for request in receiver.received} == {"job.canceled"}
    with sessions() as session:
        delivered: list[UUID] = list(
            session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.status == DeliveryStatus.DELIVERED))
        )
    assert len(delivered) == 12
