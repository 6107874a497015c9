"""`packshot listen` on the application: what it shows is verified, and nothing of it stays."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from cli import listen
from cli.listen import Arrived, Listener
from packshot_client import PackshotError
from tests.integration.api.support import submit
from tests.receivers import Receiver, reply


@contextmanager
def listening(client: TestClient, *events: str) -> Iterator[Callable[[int], list[Arrived]]]:
    """Listens in the background; calling what it yields waits for so many events."""
    shown: list[Arrived] = []
    news, stop, ready = threading.Condition(), threading.Event(), threading.Event()

    def show(arrived: Arrived) -> None:
        with news:
            shown.append(arrived)
            news.notify_all()

    def wait_for(count: int) -> list[Arrived]:
        with news:
            assert news.wait_for(lambda: len(shown) >= count, timeout=20)
            return list(shown)

    listener = Listener(client, events or ("*",), show, pause_s=0.05)
    thread = threading.Thread(target=lambda: listener.run(stop, ready=lambda _: ready.set()))
    thread.start()
    assert ready.wait(20)
    try:
        yield wait_for
    finally:
        stop.set()
        thread.join(20)


def test_events_are_shown_verified_and_the_endpoint_goes(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(client) as wait_for:
        job = submit(client, labels='{"sku": "MUG-1"}')
        client.post(job["urls"]["cancel"])
        queued, canceled = wait_for(2)
        assert len(client.get("/v1/webhook-endpoints").json()["data"]) == 1
    assert client.get("/v1/webhook-endpoints").json()["data"] == []
    assert [json.loads(one.body)["type"] for one in (queued, canceled)] == ["job.queued", "job.canceled"]
    assert queued.problem is canceled.problem is None
    statuses = {one["status"] for one in client.get("/v1/webhook-deliveries").json()["data"]}
    assert statuses == {"delivered"}
    listen._print(canceled, as_json=False)
    listen._print(canceled, as_json=True)
    line, raw = capsys.readouterr().out.splitlines()[-2:]
    assert "job.canceled" in line
    assert job["id"] in line
    assert "sku=MUG-1" in line
    assert raw == canceled.body


def test_only_what_was_asked_for(client: TestClient) -> None:
    with listening(client, "job.canceled") as wait_for:
        job = submit(client)
        client.post(job["urls"]["cancel"])
        [canceled] = wait_for(1)
    assert json.loads(canceled.body)["data"]["id"] == job["id"]


def test_a_forged_event_is_told_apart(client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    call = Listener._call

    def tamper(self: Listener, method: str, path: str, body: dict | None = None) -> dict:
        answer = call(self, method, path, body)
        for event in answer.get("data", []):
            event["body"] = event["body"].replace("canceled", "succeeded")
        return answer

    monkeypatch.setattr(Listener, "_call", tamper)
    with listening(client, "job.canceled") as wait_for:
        client.post(submit(client)["urls"]["cancel"])
        [forged] = wait_for(1)
    assert forged.problem
    listen._print(forged, as_json=True)
    said = capsys.readouterr()
    assert forged.body not in said.out
    assert "not verified" in said.err


def test_an_event_is_handed_on_as_it_came(client: TestClient) -> None:
    with listening(client, "job.canceled") as wait_for, Receiver(lambda _: reply(200)) as receiver:
        client.post(submit(client)["urls"]["cancel"])
        [event] = wait_for(1)
        listen._forward(event, receiver.url("/hooks"))
        listen._forward(Arrived(event.body, event.headers, "forged"), receiver.url("/hooks"))
        [request] = receiver.received
    assert request.body.decode() == event.body
    assert {name: request.headers[name] for name in event.headers} == event.headers


def test_a_refusal_is_said(anonymous: TestClient) -> None:
    with pytest.raises(PackshotError, match="401"):
        Listener(anonymous, ["*"], lambda _: None).run(threading.Event())
