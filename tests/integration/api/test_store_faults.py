"""A bucket that is down, silent, slow or full: nothing hangs, nothing is half made, callers are told to come back."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from api.app import create_app
from config.settings import Settings
from db.models import Job
from db.session import Sessions
from jobs.keys import IssuedKey
from jobs.models import Models
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import photo
from tests.receivers import Received, Receiver, reply
from tests.s3_server import CREDENTIALS


@pytest.fixture
def front() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture
def open_on(settings: Settings, key: IssuedKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    """A client of a service whose bucket is at that endpoint."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    opened = []

    def make(endpoint: str, **more: object) -> TestClient:
        changes = {"storage_url": "s3://bucket", "storage_endpoint": endpoint, "storage_timeout_s": 0.5, **more}
        app = create_app(settings.model_copy(update=changes), models=Models((SPEC,)))
        opened.append(open_client(app, key.token))
        return opened[-1].__enter__()

    yield make
    for client in opened:
        client.__exit__(None, None, None)


def silent(_: Received) -> Iterator[bytes]:
    time.sleep(1.5)
    yield b""


def trickling(_: Received) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"
    for _ in range(10):
        time.sleep(0.15)
        yield b"X-Slow: 1\r\n"


def full(_: Received) -> list[bytes]:
    return reply(507, b"<Error><Code>XMinioStorageFull</Code><Message>Disk full</Message></Error>")


def denied(_: Received) -> list[bytes]:
    return reply(403, b"<Error><Code>AccessDenied</Code><AWSAccessKeyId>PACKSHOTTESTKEY</AWSAccessKeyId></Error>")


@pytest.mark.parametrize("answer", [None, silent, trickling, full, denied])
def test_a_submit_is_refused_in_time_and_leaves_nothing(
    open_on: Callable[..., TestClient], front: Receiver, sessions: Sessions, answer: Callable[..., object] | None
) -> None:
    front._default = answer
    client = open_on("http://127.0.0.1:1" if answer is None else front.url("").rstrip("/"))
    started = time.monotonic()
    refused = client.post("/v1/jobs", files={"image_file": ("mug.jpg", photo())})
    assert time.monotonic() - started < 10
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert "PACKSHOTTESTKEY" not in refused.text
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
    by_url = client.post("/v1/jobs", json={"image_url": "https://shop.example/mug.jpg"})
    assert by_url.status_code == 202, "it needs no store yet, and waits"
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["storage"]) == (503, "unreachable")


@pytest.mark.parametrize("how", [silent, trickling])
def test_a_silent_store_is_asked_no_more_for_a_while(
    open_on: Callable[..., TestClient], front: Receiver, how: Callable[[Received], Iterator[bytes]]
) -> None:
    front._default = how
    client = open_on(front.url("").rstrip("/"), storage_failures=2, storage_pause_s=3.0)

    def submit() -> tuple[int, float]:
        started = time.monotonic()
        reply = client.post("/v1/jobs", files={"image_file": ("mug.jpg", photo())})
        if reply.status_code == 503:
            assert reply.json()["code"] == "storage_unavailable"
            assert 1 <= int(reply.headers["retry-after"]) <= 5
        return reply.status_code, time.monotonic() - started

    def left_alone() -> bool:
        return "packshot_storage_left_alone 1.0" in client.get("/metrics").text

    assert not left_alone()
    waited = [submit(), submit()]
    assert all(status == 503 and took_s >= 0.25 for status, took_s in waited)
    assert left_alone()
    asked = len(front.received)
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda _: submit(), range(8)))
    assert [status for status, _ in refused] == [503] * 8
    assert len(front.received) == asked, "nobody waited for the store"
    assert client.get("/readyz").status_code == 503
    assert len(front.received) == asked
    front._default = lambda _: reply(200, headers={"ETag": '"e"'})
    time.sleep(3.0)
    assert submit()[0] == 202
    assert not left_alone()
