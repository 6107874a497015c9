"""Waiting for a job: Prefer, long-poll with ETag, Server-Sent Events; wake-ups that got lost; leaving."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, text, update

from api.app import create_app
from config.settings import Settings
from db.base import JobStatus
from db.models import Job
from db.session import Sessions
from jobs.ids import parse_job_id
from jobs.keys import IssuedKey
from jobs.models import Models
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import finish, photo, submit

POOL = ThreadPoolExecutor(4)


def waiting(app: FastAPI, count: int = 1, timeout_s: float = 10.0) -> None:
    """Until that many requests wait."""
    watcher = app.state.context.watcher
    deadline = time.monotonic() + timeout_s
    while watcher.waiting != count:
        assert time.monotonic() < deadline, watcher.waiting
        time.sleep(0.01)


@contextmanager
def meanwhile(app: FastAPI, request: Callable[[], object]) -> Iterator[Future]:
    """The request runs in a thread and waits; it must be over soon after what is done meanwhile."""
    future = POOL.submit(request)
    waiting(app)
    yield future
    begun = time.monotonic()
    future.result(timeout=10)
    assert time.monotonic() - begun < 3


def events_in(stream: str) -> list[tuple[str, str]]:
    """(name, id) of each event."""
    return re.findall(r"event: (\S+)\ndata: .*\nid: (\S+)", stream)


def test_prefer_wait_replies_at_the_end(
    app: FastAPI, client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    def post() -> object:
        return client.post("/v1/jobs", files={"image_file": ("a.jpg", photo())}, headers={"Prefer": "wait=50"})

    with meanwhile(app, post) as future:
        finish(sessions, settings)
    reply = future.result()
    assert (reply.status_code, reply.json()["status"]) == (201, "succeeded")
    assert reply.headers["preference-applied"] == "wait=50"
    assert reply.headers["location"] == reply.json()["urls"]["self"]
    assert reply.json()["outputs"]
    assert "retry-after" not in reply.headers


def test_prefer_wait_is_over_in_time(client: TestClient) -> None:
    begun = time.monotonic()
    reply = client.post("/v1/jobs", files={"image_file": ("a.jpg", photo())}, headers={"Prefer": "wait=1"})
    assert 0.9 < time.monotonic() - begun < 5
    assert (reply.status_code, reply.json()["status"], reply.headers["retry-after"]) == (202, "queued", "1")
    assert reply.headers["preference-applied"] == "wait=1"
    asked = client.post("/v1/jobs", files={"image_file": ("a.jpg", photo())}, headers={"Prefer": "wait=0"})
    assert (asked.status_code, "preference-applied" in asked.headers) == (202, False)


def test_the_etag_holds_until_something_changes(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    url = submit(client)["urls"]["self"]
    first = client.get(url)
    tag = first.headers["etag"]
    same = client.get(url, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert same.headers["retry-after"] == "1"
    with sessions.begin() as session:  # what no reader sees
        session.execute(update(Job).values(retries=3, worker="gpu1"))
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    finish(sessions, settings)
    done = client.get(url, headers={"If-None-Match": tag})
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")
    last = done.headers["etag"]
    assert client.get(url, headers={"If-None-Match": f'"x", {last}'}).status_code == 304
    with sessions.begin() as session:
        session.execute(text("UPDATE outputs SET sha256 = repeat('0', 64)"))
    assert client.get(url, headers={"If-None-Match": last}).status_code == 200


def test_long_poll_replies_at_the_end(app: FastAPI, client: TestClient, sessions: Sessions, settings: Settings) -> None:
    url = submit(client)["urls"]["self"]
    with meanwhile(app, lambda: client.get(url, params={"wait": 30})) as future:
        finish(sessions, settings)
    assert future.result().json()["status"] == "succeeded"
    assert client.get(url, params={"wait": 30}).json()["status"] == "succeeded"  # at once


def test_long_poll_with_an_etag_replies_at_any_change(app: FastAPI, client: TestClient, sessions: Sessions) -> None:
    url = submit(client)["urls"]["self"]
    tag = client.get(url).headers["etag"]
    unchanged = client.get(url, params={"wait": 1}, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.headers["etag"]) == (304, tag)
    with (
        meanwhile(app, lambda: client.get(url, params={"wait": 30}, headers={"If-None-Match": tag})) as future,
        sessions.begin() as session,
    ):
        session.execute(update(Job).values(status=JobStatus.PROCESSING, leased_until=func.now()))
    assert (future.result().status_code, future.result().json()["status"]) == (200, "processing")
    with meanwhile(app, lambda: client.get(url, params={"wait": 30})) as future:
        assert client.delete(url).status_code == 204
    assert future.result().status_code == 404


def test_a_wait_that_is_none(client: TestClient) -> None:
    for wait in ("0", "61", "-1", "x", "1.5"):
        reply = client.get("/v1/jobs/job_" + "0" * 32, params={"wait": wait})
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")


def test_events_tell_each_state_until_the_end(
    app: FastAPI, client: TestClient, sessions: Sessions, stranger: TestClient
) -> None:
    job = submit(client)
    url = job["urls"]["events"]
    with meanwhile(app, lambda: client.get(url)) as future:
        time.sleep(1)  # it waits already, but may not have read the state that it tells first
        with sessions.begin() as session:
            session.execute(update(Job).values(status=JobStatus.PROCESSING, leased_until=func.now(), attempt=1))
        time.sleep(1)  # or the two would be one event
        with sessions.begin() as session:
            session.execute(update(Job).values(status=JobStatus.CANCELED, leased_until=None, completed_at=func.now()))
    reply = future.result()
    assert reply.headers["content-type"].startswith("text/event-stream")
    names, ids = zip(*events_in(reply.text), strict=True)
    assert names == ("job.queued", "job.processing", "job.canceled")
    assert '"status":"canceled"' in reply.text
    seen_all = client.get(url, headers={"Last-Event-ID": ids[-1]})
    assert (seen_all.status_code, seen_all.content) == (204, b"")
    assert events_in(client.get(url, headers={"Last-Event-ID": ids[0]}).text) == [("job.canceled", ids[-1])]
    assert stranger.get(url).status_code == 404


def test_a_seen_state_is_not_told_twice(app: FastAPI, client: TestClient, sessions: Sessions) -> None:
    job = submit(client)
    tag = client.get(job["urls"]["self"]).headers["etag"].removeprefix("W/").strip('"')
    with (
        meanwhile(app, lambda: client.get(job["urls"]["events"], headers={"Last-Event-ID": tag})) as future,
        sessions.begin() as session,
    ):
        session.execute(update(Job).values(status=JobStatus.CANCELED, completed_at=func.now()))
    assert [name for name, _ in events_in(future.result().text)] == ["job.canceled"]


def test_events_end_with_a_deleted_job(app: FastAPI, client: TestClient) -> None:
    job = submit(client)
    with meanwhile(app, lambda: client.get(job["urls"]["events"])) as future:
        client.delete(job["urls"]["self"])
    assert [name for name, _ in events_in(future.result().text)] == ["job.queued"]


def test_heartbeats_are_comments(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.events._PING_S", 0.1)
    monkeypatch.setattr("api.events._LONGEST_S", 0.5)
    job = submit(client)
    stream = client.get(job["urls"]["events"]).text
    assert stream.count(": ping\n\n") >= 2
    assert len(events_in(stream)) == 1


def test_a_lost_listener_comes_back_and_looks(
    app: FastAPI, client: TestClient, sessions: Sessions, settings: Settings, database: str
) -> None:
    url = submit(client)["urls"]["self"]
    with meanwhile(app, lambda: client.get(url, params={"wait": 30})), psycopg.connect(database) as connection:
        # Cut off and finish in one transaction: nobody listens when it commits.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'packshot listener' "
            "AND datname = current_database()"
        )
        connection.execute("UPDATE jobs SET status = 'canceled', completed_at = now()")
        connection.commit()
    url = submit(client)["urls"]["self"]
    with meanwhile(app, lambda: client.get(url, params={"wait": 30})):
        finish(sessions, settings)


def test_a_lost_notification_is_made_up_for(settings: Settings, key: IssuedKey, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE jobs DISABLE TRIGGER notify_readers"))
    app = create_app(settings.model_copy(update={"watch_poll_s": 0.3}), models=Models((SPEC,)))
    with open_client(app, key.token) as client:
        url = submit(client)["urls"]["self"]
        with meanwhile(app, lambda: client.get(url, params={"wait": 30})):
            finish(sessions, settings)


def test_as_many_wait_as_may(settings: Settings, key: IssuedKey) -> None:
    app = create_app(settings.model_copy(update={"max_waiting": 1}), models=Models((SPEC,)))
    with open_client(app, key.token) as client:
        job = submit(client)
        url = job["urls"]["self"]
        with meanwhile(app, lambda: client.get(url, params={"wait": 30})):
            for page in (f"{url}?wait=1", job["urls"]["events"]):
                refused = client.get(page)
                assert (refused.status_code, refused.json()["code"]) == (503, "too_many_waiting")
                assert refused.headers["retry-after"]
            assert client.get(url).status_code == 200
            assert "packshot_waiting_requests 1.0" in client.get("/metrics").text
            client.post(f"{url}/cancel")


def test_inserts_and_leases_notify_nobody(client: TestClient, sessions: Sessions, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN packshot")
        job_id = str(parse_job_id(submit(client)["id"]))
        with sessions.begin() as session:
            session.execute(update(Job).values(retries=1, due_at=func.now()))
            session.execute(update(Job).values(status=JobStatus.QUEUED))
        assert list(listener.notifies(timeout=0.2)) == []
        client.post(f"/v1/jobs/job_{job_id.replace('-', '')}/cancel")
        assert [found.payload for found in listener.notifies(timeout=5, stop_after=1)] == [job_id]
