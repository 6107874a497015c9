"""Photos by URL: from a caller's server into the store, whatever the server does."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
import structlog
from obstore import put, sign
from obstore.store import S3Store
from sqlalchemy import func, select, update

from config.settings import Settings
from db.base import JobStatus
from db.models import Fetch, Job
from db.session import Sessions
from db.webhook_models import WebhookDelivery, WebhookEvent
from jobs import claiming, fetching, service
from jobs.egress import Policy
from jobs.ids import job_public_id
from storage.guarded import guard
from storage.local import LocalStorage
from tests.factories import make_job, make_key
from tests.photo_files import save
from tests.receivers import Receiver, redirect, reply
from tests.s3_server import S3Server
from worker import fetch, io
from worker.http import HttpClient
from worker.store_gate import StoreGate

PHOTO = save(np.full((40, 60, 3), 200, np.uint8), "PNG")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(200, PHOTO)) as server:
        yield server


@pytest.fixture
def build(settings: Settings, receiver: Receiver) -> Iterator[Callable[..., io.IoResources]]:
    """Builds io workers that may call the receiver; `host.example` leads there."""
    built = []

    def make(**changes: object) -> io.IoResources:
        chosen = Settings(**{**settings.model_dump(), "egress_allow": (receiver.allow,), **changes})
        client = HttpClient(Policy.from_settings(chosen), resolver=lambda _: ["127.0.0.1"])
        built.append(io.build(chosen, client=client))
        return built[-1]

    yield make
    for res in built:
        res.close()


def needs(res: io.IoResources) -> fetch.Fetching:
    storage = guard(LocalStorage(res.settings.files_path), res.settings)
    gate = StoreGate(storage, res.settings)
    return fetch.Fetching(res.settings, res.sessions, storage, gate, res.client, res.bell, res.counters)


def submit(sessions: Sessions, url: str, *, webhook_url: str | None = None) -> UUID:
    with sessions.begin() as session:
        return make_job(session, make_key(session).id, source=url, webhook_url=webhook_url).id


def job_of(sessions: Sessions, job_id: UUID) -> Job:
    with sessions() as session:
        return session.get_one(Job, job_id)


def fetch_of(sessions: Sessions, job_id: UUID) -> Fetch:
    with sessions() as session:
        return session.get_one(Fetch, job_id)


def make_due(sessions: Sessions) -> None:
    """Warp time: what waits for its retry is due now."""
    with sessions.begin() as session:
        session.execute(update(Fetch).where(Fetch.due_at.is_not(None)).values(due_at=func.now()))


def stored_keys(res: io.IoResources) -> list[str]:
    return [file.key for file in LocalStorage(res.settings.files_path).list("jobs")]


def test_a_photo_arrives_and_its_job_is_due(build, sessions: Sessions, receiver: Receiver) -> None:
    res = build()
    job_id = submit(sessions, receiver.url("/shoe.png", host="host.example"))
    io.drain(res)
    job = job_of(sessions, job_id)
    assert (job.status, job.input_format, job.input_width, job.input_height) == (JobStatus.QUEUED, "png", 60, 40)
    assert (job.input_bytes, job.input_sha256) == (len(PHOTO), hashlib.sha256(PHOTO).hexdigest())
    assert job.due_at is not None
    assert job.metrics["fetch_ms"] >= 0
    with LocalStorage(res.settings.files_path).open(job.input_key) as file:
        assert file.read() == PHOTO
    assert fetch_of(sessions, job_id).due_at is None
    with sessions.begin() as session:
        terms = claiming.Terms(worker="gpu0@test", lease_s=60, resolve=lambda _: ("unet-fast@1", "torch"))
        assert [job.id for job in claiming.claim(session, terms, limit=8, megapixels=100)] == [job_id]


def test_redirects_are_followed_each_one_checked(build, sessions: Sessions, receiver: Receiver) -> None:
    receiver.routes["/a"] = lambda _: redirect(302, "/b?x=1")
    receiver.routes["/b"] = lambda _: redirect(307, receiver.url("/c", host="host.example"))
    job_id = submit(sessions, receiver.url("/a"))
    io.drain(build())
    assert job_of(sessions, job_id).input_key is not None
    assert [request.target for request in receiver.received] == ["/a", "/b?x=1", "/c"]


def test_what_can_not_be_mended_fails_the_job_with_its_event(build, sessions: Sessions, receiver: Receiver) -> None:
    receiver.routes["/bad"] = lambda _: reply(404, b"internal secrets")
    job_id = submit(sessions, receiver.url("/bad"), webhook_url="http://8.8.8.8/hook")
    res = build()
    with sessions.begin() as session:
        [claimed] = fetching.claim(session, limit=8, lease_s=60)
    fetch.run(needs(res), claimed)
    job = job_of(sessions, job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "failed_image_download")
    assert "internal secrets" not in job.error_detail
    assert fetch_of(sessions, job_id).due_at is None
    with sessions() as session:
        assert session.scalars(select(WebhookEvent.type)).all() == ["job.failed"]
        assert session.scalars(select(WebhookDelivery.url)).all() == ["http://8.8.8.8/hook"]


def test_a_passing_fault_is_tried_again_and_then_fails_the_job(build, sessions, receiver) -> None:
    receiver.routes["/bad"] = lambda _: reply(503)
    job_id = submit(sessions, receiver.url("/bad"))
    res = build(fetch_max_tries=3)
    for tried in (1, 2):
        io.drain(res)
        row = fetch_of(sessions, job_id)
        assert row.attempt == tried
        assert row.due_at is not None
        assert row.last_error.startswith("failed_image_download")
        assert job_of(sessions, job_id).status is JobStatus.QUEUED
        make_due(sessions)
    io.drain(res)
    job = job_of(sessions, job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "failed_image_download")
    assert len(receiver.received) == 3
    assert stored_keys(res) == []


def test_pauses_double_and_retry_after_is_honoured(build, sessions: Sessions, receiver: Receiver) -> None:
    receiver.routes["/bad"] = lambda _: reply(503, headers={"Retry-After": "120"})
    job_id = submit(sessions, receiver.url("/bad"))
    io.drain(build())
    with sessions() as session:
        pause = session.scalar(select(Fetch.due_at - func.now()).where(Fetch.job_id == job_id))
    assert timedelta(seconds=100) < pause <= timedelta(seconds=120)


def test_a_server_that_recovers_is_enough(build, sessions: Sessions, receiver: Receiver) -> None:
    answers = iter([reply(500), reply(200, PHOTO)])
    receiver.routes["/bad"] = lambda _: next(answers)
    job_id = submit(sessions, receiver.url("/bad"))
    res = build()
    io.drain(res)
    make_due(sessions)
    io.drain(res)
    assert job_of(sessions, job_id).input_key is not None


def test_a_full_store_is_a_passing_fault(build, sessions: Sessions, receiver: Receiver, tmp_path) -> None:
    blocked = tmp_path / "elsewhere"
    res = build(storage_url=f"file:{blocked}", storage_failures=0)
    (blocked / "jobs").write_text("a file where a folder should be")
    job_id = submit(sessions, receiver.url("/a"))
    for _ in range(res.settings.fetch_max_tries + 1):
        make_due(sessions)
        io.drain(res)
    row = fetch_of(sessions, job_id)
    assert (row.last_error or "").startswith("storage_unavailable")
    assert (row.tries, row.attempt) == (0, res.settings.fetch_max_tries + 1), "it counts against no download"
    assert row.outages == row.attempt
    assert job_of(sessions, job_id).status is JobStatus.QUEUED
    (blocked / "jobs").unlink()
    make_due(sessions)
    io.drain(res)
    assert job_of(sessions, job_id).input_key is not None


def test_a_full_store_stops_downloads(build, sessions: Sessions, receiver: Receiver, tmp_path) -> None:
    blocked = tmp_path / "elsewhere"
    res = build(storage_url=f"file:{blocked}", storage_failures=2, storage_pause_s=0.5, io_concurrency=1)
    (blocked / "jobs").write_text("a file where a folder should be")
    jobs = [submit(sessions, receiver.url(f"/{n}")) for n in range(6)]
    for _ in range(4):
        make_due(sessions)
        io.drain(res)
    assert 2 <= len(receiver.received) <= 4, "two, and perhaps one or two when the pause was over"
    (blocked / "jobs").unlink()
    ends_at = time.monotonic() + 30
    while any(job_of(sessions, job_id).input_key is None for job_id in jobs) and time.monotonic() < ends_at:
        make_due(sessions)
        io.drain(res)
        time.sleep(0.1)
    assert all(job_of(sessions, job_id).input_key for job_id in jobs)


def test_a_url_that_a_real_store_signed(build, sessions: Sessions, s3_server: S3Server, s3_bucket: str) -> None:
    """Its query string is sent as it was signed, and logged nowhere."""
    bucket = S3Store(s3_bucket, config={"endpoint": s3_server.endpoint}, client_options={"allow_http": True})
    put(bucket, "shop/mug 1.png", PHOTO)
    url = sign(bucket, "GET", "shop/mug 1.png", timedelta(minutes=5))
    res = build(egress_allow=(s3_server.endpoint.replace("http://127.0.0.1", "127.0.0.1/32"),))
    arrived = submit(sessions, url)
    refused = submit(sessions, url.replace("mug", "cup"))
    with structlog.testing.capture_logs() as logs:
        io.drain(res)
    assert job_of(sessions, arrived).input_sha256 == hashlib.sha256(PHOTO).hexdigest()
    assert job_of(sessions, refused).error_code == "failed_image_download"
    assert {line["event"] for line in logs} >= {"photo_fetched", "fetch_failed"}
    assert "X-Amz-Signature" not in str(logs)


def test_a_late_download_is_refused_and_its_file_removed(build, sessions: Sessions, receiver: Receiver) -> None:
    """The first worker stalls, its lease lapses, a second one finishes; then the first wakes up."""
    go_on = threading.Event()
    other = save(np.full((10, 10, 3), 9, np.uint8), "PNG")

    def slow_first(_: object) -> Iterator[bytes]:
        if len(receiver.received) == 1:
            go_on.wait(10)
            yield from reply(200, other)
        else:
            yield from reply(200, PHOTO)

    receiver.routes["/slow"] = slow_first
    job_id = submit(sessions, receiver.url("/slow"))
    first, second = build(), build()
    late = threading.Thread(target=io.drain, args=(first,))
    late.start()
    while not receiver.received:
        time.sleep(0.01)
    make_due(sessions)
    # One look only: the first worker must not take its own row again.
    taken = io._claim_fetches(needs(second), 1, ())
    for errand in taken:
        errand.run()
    go_on.set()
    late.join()
    job = job_of(sessions, job_id)
    assert fetch_of(sessions, job_id).attempt == 2
    assert job.input_sha256 == hashlib.sha256(PHOTO).hexdigest()
    assert stored_keys(first) == [job.input_key]


def test_a_download_that_took_its_workers_with_it_fails_the_job(build, sessions: Sessions, receiver: Receiver) -> None:
    job_id = submit(sessions, receiver.url("/a"))
    with sessions.begin() as session:
        session.execute(update(Fetch).values(tries=4))
    io.drain(build(fetch_max_tries=4))
    assert job_of(sessions, job_id).error_code == "failed_image_download"
    assert receiver.received == []


def test_a_canceled_jobs_photo_is_dropped(build, sessions: Sessions, receiver: Receiver) -> None:
    """Canceled while its download runs: nothing of it stays."""
    with sessions.begin() as session:
        key = make_key(session).id
        job_id = make_job(session, key, source=receiver.url("/slow")).id

    def cancel_meanwhile(_: object) -> list[bytes]:
        with sessions.begin() as session:
            service.cancel(session, job_public_id(job_id), api_key_id=key)
        return reply(200, PHOTO)

    receiver.routes["/slow"] = cancel_meanwhile
    res = build()
    io.drain(res)
    job = job_of(sessions, job_id)
    assert (job.status, job.input_key, stored_keys(res)) == (JobStatus.CANCELED, None, [])
