"""Registered endpoints, end to end: the API, the io worker, a receiver, and the reference library as the judge."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select, text, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.app import create_app
from api.webhooks import EventFilter
from config.settings import Settings
from db import deliveries
from db.batch_models import Batch, BatchStatus, LineSource
from db.session import Sessions
from db.webhook_models import DeliveryStatus, WebhookDelivery, WebhookEndpoint
from jobs import events
from jobs.event_types import ENDS, PROGRESS, lets_through
from jobs.ids import new_id
from jobs.keys import IssuedKey
from jobs.models import Models
from tests.integration.api.conftest import SPEC
from tests.integration.api.support import finish, submit
from tests.receivers import Received, Receiver, reply
from worker import io, sweep

Drain = Callable[[], list[Received]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(lambda _: reply(204)) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return Settings(**{**settings.model_dump(), "egress_allow": (receiver.allow,)})


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings, models=Models((SPEC,)))


@pytest.fixture
def drain(settings: Settings, receiver: Receiver) -> Iterator[Drain]:
    """Work off what is due; returns the calls that it made."""
    res = io.build(settings)

    def run() -> list[Received]:
        before = len(receiver.received)
        io.drain(res)
        return receiver.received[before:]

    yield run
    res.close()


def register(client: TestClient, url: str | None, **fields: object) -> dict:
    made = client.post("/v1/webhook-endpoints", json={"url": url, **fields})
    assert made.status_code == 201, made.text
    return made.json()


def types(calls: list[Received]) -> list[str]:
    return sorted(json.loads(call.body)["type"] for call in calls)


def make_due(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(due_at=func.now()))


def end_a_job(client: TestClient) -> str:
    job = submit(client)
    assert client.post(job["urls"]["cancel"]).status_code == 200
    return job["id"]


def page(endpoint: dict, tail: str = "") -> str:
    return f"/v1/webhook-endpoints/{endpoint['id']}{tail}"


def test_the_filters_that_can_be_asked_for_are_the_events_there_are() -> None:
    assert set(EventFilter.__args__) == {*PROGRESS, *ENDS, "*", "job.*", "batch.*"}
    assert lets_through(["batch.*"], "batch.failed")
    assert not lets_through(["batch.*"], "job.failed")
    assert lets_through(["job.failed", "*"], "job.queued")


def test_an_endpoint_is_told_of_what_it_asked_for(client, sessions, settings, receiver, drain: Drain) -> None:
    """Progress goes to those who ask for it; each call is signed with its own endpoint's secret."""
    ends = register(client, receiver.url("/ends"))
    everything = register(client, receiver.url("/all"), events=["*"], description="all of it")
    register(client, receiver.url("/batches"), events=["batch.*"])
    submit(client)
    finish(sessions, settings)
    end_a_job(client)
    calls = drain()
    by_target = {target: [c for c in calls if c.target == target] for target in ("/ends", "/all", "/batches")}
    assert types(by_target["/ends"]) == ["job.canceled", "job.succeeded"]
    assert types(by_target["/all"]) == ["job.canceled", "job.processing", "job.queued", "job.queued", "job.succeeded"]
    assert by_target["/batches"] == []
    for target, endpoint, other in (("/ends", ends, everything), ("/all", everything, ends)):
        for call in by_target[target]:
            assert Webhook(endpoint["secret"]).verify(call.body, call.headers)["data"]["urls"]["self"]
            with pytest.raises(WebhookVerificationError):
                Webhook(other["secret"]).verify(call.body, call.headers)
    bodies = [json.loads(call.body) for call in by_target["/all"]]
    one_job = sorted((b["data"]["sequence"], b["type"]) for b in bodies if b["data"]["id"] == bodies[0]["data"]["id"])
    assert one_job[0][1] == "job.queued"
    assert all(len(call.body) < 20_000 for call in calls)


def test_a_batch_is_told_of_once(client, key: IssuedKey, sessions, receiver, drain: Drain) -> None:
    endpoint = register(client, receiver.url("/hook"), events=["batch.*"])
    batch = Batch(
        id=new_id(),
        api_key_id=key.id,
        status=BatchStatus.COMPLETED,
        source=LineSource.JSONL,
        manifest_bytes=1,
        options={},
        total=3,
        succeeded=2,
        failed=1,
        base_url="https://packshot.example",
        webhook_url=receiver.url("/own"),
        completed_at=datetime.now(UTC),
    )
    with sessions.begin() as session:
        session.add(batch)
        session.flush()
        session.refresh(batch)
        assert [events.record_batch(session, batch) for _ in range(2)] == [True, False]
    calls = {call.target: call for call in drain()}
    assert calls.keys() == {"/hook", "/own"}
    body = Webhook(endpoint["secret"]).verify(calls["/hook"].body, calls["/hook"].headers)
    assert Webhook(key.webhook_secret).verify(calls["/own"].body, calls["/own"].headers) == body
    assert body["type"] == "batch.completed"
    assert body["data"]["request_counts"] == {"total": 3, "completed": 2, "failed": 1, "canceled": 0}
    found = client.get(f"/v1/webhook-deliveries?batch_id={body['data']['id']}").json()["data"]
    assert {one["batch_id"] for one in found} == {body["data"]["id"]}


def test_an_endpoint_that_hangs_delays_no_other_on_its_host(client, settings, receiver) -> None:
    release = threading.Event()

    def hang(_: Received) -> Iterator[bytes]:
        release.wait(20)
        yield from reply(200)

    receiver.routes["/dead"] = hang
    register(client, receiver.url("/dead"))
    register(client, receiver.url("/alive"))
    for _ in range(8):
        end_a_job(client)
    res = io.build(Settings(**{**settings.model_dump(), "io_concurrency": 8}))
    thread = threading.Thread(target=io.drain, args=(res,))
    thread.start()
    deadline = time.monotonic() + 20
    while sum(call.target == "/alive" for call in receiver.received) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sum(call.target == "/dead" for call in receiver.received) <= 2
    res.stop.set()
    release.set()
    thread.join()
    res.close()


def test_every_list_of_deliveries_reads_an_index(sessions: Sessions, key: IssuedKey) -> None:
    some = new_id()
    choices = (
        deliveries.Filters(),
        deliveries.Filters(status=DeliveryStatus.PENDING),
        deliveries.Filters(endpoint_id=some),
        deliveries.Filters(event_id=some),
        deliveries.Filters(job_id=some),
        deliveries.Filters(batch_id=some),
    )
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, sql: str, given: object, *_: object) -> None:
        statements.append((sql, given))

    with sessions() as session:
        session.execute(text("SET enable_seqscan = off"))  # there are no rows to make the planner shy away from it
        event.listen(session.get_bind(), "before_cursor_execute", note)
        for filters in choices:
            deliveries.page(session, api_key_id=key.id, filters=filters, limit=20, after=some, before=None)
        event.remove(session.get_bind(), "before_cursor_execute", note)
        for sql, given in statements:
            plan = session.connection().exec_driver_sql(f"EXPLAIN {sql}", given).scalars().all()
            assert not any("Seq Scan" in line for line in plan), plan
    assert len(statements) == len(choices)


def test_nobody_asks_nothing_is_kept(client, sessions, settings) -> None:
    """Without an endpoint that asks, a job on its way leaves no event."""
    register(client, "https://hooks.example/ends")
    submit(client)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    finish(sessions, settings)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 1


def test_large_labels_do_not_make_a_large_body(client, receiver, drain: Drain) -> None:
    register(client, receiver.url("/hook"))
    labels = {f"label {number}": "🏺" * 512 for number in range(16)}
    job = submit(client, labels=json.dumps(labels, ensure_ascii=False))
    client.post(job["urls"]["cancel"])
    [call] = drain()
    assert len(call.body) < 20_000
    data = json.loads(call.body)["data"]
    assert (data["labels"], data["labels_omitted"]) == ({}, True)
    assert client.get(job["urls"]["self"]).json()["labels"] == labels


def test_the_secret_is_shown_once(client: TestClient, sessions: Sessions) -> None:
    made = register(client, "https://hooks.example/")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == list(ENDS)
    pages = [client.get(page(made)), client.get("/v1/webhook-endpoints"), client.patch(page(made), json={})]
    assert all(made["secret"] not in shown.text and shown.status_code == 200 for shown in pages)
    assert pages[0].json() == {name: made[name] for name in made.keys() - {"secret"}}
    assert client.delete(page(made)).status_code == 204
    with sessions() as session:
        assert session.scalars(select(WebhookEndpoint.secret)).all() == [""]


def test_after_a_rotation_both_secrets_verify_for_a_day(client, sessions, receiver, drain: Drain) -> None:
    old = register(client, receiver.url("/hook"))["secret"]
    [endpoint] = client.get("/v1/webhook-endpoints").json()["data"]
    rotated = client.post(page(endpoint, "/rotate-secret")).json()
    until = datetime.fromisoformat(rotated["previous_secret_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < until <= timedelta(hours=24)
    end_a_job(client)
    [call] = drain()
    for secret in (old, rotated["secret"]):
        Webhook(secret).verify(call.body, call.headers)
    with sessions.begin() as session:
        session.execute(update(WebhookEndpoint).values(previous_secret_until=func.now()))
    end_a_job(client)
    [call] = drain()
    Webhook(rotated["secret"]).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(call.body, call.headers)
    assert client.post(page(endpoint, "/rotate-secret"), json={"overlap_s": 0}).status_code == 200
    end_a_job(client)
    [call] = drain()
    with pytest.raises(WebhookVerificationError):
        Webhook(rotated["secret"]).verify(call.body, call.headers)


def test_the_keys_own_secret_rotates_too(client, key: IssuedKey, receiver, drain: Drain) -> None:
    fresh = client.post("/v1/webhook-secret/rotate").json()["secret"]
    job = submit(client, webhook_url=receiver.url("/job"))
    client.post(job["urls"]["cancel"])
    [call] = drain()
    for secret in (key.webhook_secret, fresh):
        Webhook(secret).verify(call.body, call.headers)


def test_an_endpoint_is_changed_disabled_and_enabled(client, receiver, drain: Drain) -> None:
    endpoint = register(client, receiver.url("/old"))
    end_a_job(client)
    changed = client.patch(page(endpoint), json={"url": receiver.url("/new"), "events": ["job.failed"]}).json()
    assert (changed["url"], changed["events"]) == (receiver.url("/new"), ["job.failed"])
    assert [call.target for call in drain()] == ["/new"]
    end_a_job(client)
    assert drain() == []
    client.patch(page(endpoint), json={"events": ["job.canceled"]})
    end_a_job(client)
    disabled = client.patch(page(endpoint), json={"is_enabled": False}).json()
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "by_owner")
    end_a_job(client)
    assert drain() == []
    for tail, body in (("/ping", None), ("/replay-failed", {"since": "2020-01-01T00:00:00Z"})):
        refused = client.post(page(endpoint, tail), json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_disabled")
    enabled = client.patch(page(endpoint), json={"is_enabled": True}).json()
    assert (enabled["status"], enabled["disabled_reason"]) == ("enabled", None)
    assert client.post(page(endpoint, "/replay-failed"), json={"since": "2020-01-01T00:00:00Z"}).json() == {
        "replayed": 1
    }
    assert types(drain()) == ["job.canceled"]


def test_gone_disables_the_endpoint_and_ends_what_waits(client, sessions, receiver, drain: Drain) -> None:
    receiver.routes["/hook"] = lambda _: reply(410)
    endpoint = register(client, receiver.url("/hook"))
    for _ in range(6):
        end_a_job(client)
    assert 1 <= len(drain()) <= 4  # those that were in flight together
    shown = client.get(page(endpoint)).json()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "gone")
    assert client.get("/v1/webhook-deliveries?status=gone").json()["data"]
    waiting = client.get("/v1/webhook-deliveries?status=canceled").json()["data"]
    assert waiting
    refused = client.post(f"/v1/webhook-deliveries/{waiting[0]['id']}/replay")
    assert refused.json()["code"] == "endpoint_disabled"
    make_due(sessions)
    assert drain() == []


def test_an_endpoint_that_fails_for_days_is_disabled(client, sessions, receiver, drain: Drain) -> None:
    receiver.routes["/hook"] = lambda _: reply(500)
    endpoint = register(client, receiver.url("/hook"))
    end_a_job(client)
    drain()
    assert client.get(page(endpoint)).json()["failing_since"] is not None
    with sessions.begin() as session:
        session.execute(update(WebhookEndpoint).values(failing_since=func.now() - timedelta(days=4, hours=23)))
    make_due(sessions)
    drain()
    assert client.get(page(endpoint)).json()["status"] == "enabled"
    with sessions.begin() as session:
        session.execute(update(WebhookEndpoint).values(failing_since=func.now() - timedelta(days=5)))
    make_due(sessions)
    drain()
    assert client.get(page(endpoint)).json()["disabled_reason"] == "failing"


def test_one_good_call_ends_a_bad_time(client, sessions, receiver, drain: Drain) -> None:
    receiver.routes["/hook"] = lambda _: reply(500 if len(receiver.received) == 1 else 200)
    endpoint = register(client, receiver.url("/hook"))
    end_a_job(client)
    drain()
    make_due(sessions)
    drain()
    shown = client.get(page(endpoint)).json()
    assert (shown["failing_since"], shown["delivered_at"] is not None) == (None, True)


@pytest.mark.parametrize("answer", [reply(429), reply(502), reply(504), reply(503, headers={"Retry-After": "60"})])
def test_an_overloaded_endpoint_is_left_alone_with_its_whole_backlog(client, receiver, drain: Drain, answer) -> None:
    receiver.routes["/hook"] = lambda _: answer
    register(client, receiver.url("/hook"))
    register(client, receiver.url("/other"))
    for _ in range(12):
        end_a_job(client)
    calls = [call.target for call in drain()]
    assert calls.count("/other") == 12
    assert calls.count("/hook") <= 4  # those that were in flight together
    listed = client.get("/v1/webhook-deliveries?status=pending").json()["data"]
    soonest = min(datetime.fromisoformat(one["due_at"]) for one in listed)
    assert soonest - datetime.now(UTC) > timedelta(seconds=50)
    assert sum(one["attempt"] == 0 for one in listed) >= 8  # no try was spent on them


def test_an_endpoint_that_has_failed_for_long_keeps_no_slots(client, sessions, receiver, drain: Drain) -> None:
    receiver.routes["/hook"] = lambda _: reply(500)
    register(client, receiver.url("/hook"))
    with sessions.begin() as session:
        session.execute(update(WebhookEndpoint).values(failing_since=func.now() - timedelta(hours=1)))
    for _ in range(12):
        end_a_job(client)
    assert len(drain()) <= 4


def test_what_failed_is_replayed_under_the_same_id(client, sessions, receiver, drain: Drain) -> None:
    receiver.routes["/hook"] = lambda _: reply(500)
    endpoint = register(client, receiver.url("/hook"))
    since = datetime.now(UTC).isoformat()
    first, second = end_a_job(client), end_a_job(client)
    calls = drain()
    for _ in range(9):
        make_due(sessions)
        drain()
    exhausted = client.get(f"/v1/webhook-deliveries?status=exhausted&endpoint_id={endpoint['id']}").json()["data"]
    assert [(one["job_id"], one["attempt"]) for one in exhausted] == [(second, 10), (first, 10)]
    receiver.routes["/hook"] = lambda _: reply(200)
    assert client.post(page(endpoint, "/replay-failed"), json={"since": since}).json() == {"replayed": 2}
    again = drain()
    ids = {call.headers["webhook-id"] for call in calls}
    assert {call.headers["webhook-id"] for call in again} == ids == {one["event_id"] for one in exhausted}
    detail = client.get(f"/v1/webhook-deliveries/{exhausted[0]['id']}").json()
    assert (detail["status"], detail["due_at"]) == ("delivered", None)
    assert [one["http_status"] for one in detail["attempts"]] == [500] * 10 + [200]
    assert [one["number"] for one in detail["attempts"]] == list(range(1, 12))
    assert client.post(page(endpoint, "/replay-failed"), json={"since": since}).json() == {"replayed": 0}


def test_one_delivery_is_replayed_whatever_came_of_it(client, receiver, drain: Drain) -> None:
    job = submit(client, webhook_url=receiver.url("/job"))
    client.post(job["urls"]["cancel"])
    [call] = drain()
    [delivery] = client.get(f"/v1/webhook-deliveries?job_id={job['id']}").json()["data"]
    assert (delivery["status"], delivery["url"], delivery["endpoint_id"]) == ("delivered", receiver.url("/job"), None)
    replayed = client.post(f"/v1/webhook-deliveries/{delivery['id']}/replay")
    assert (replayed.status_code, replayed.json()["status"]) == (202, "pending")
    [again] = drain()
    assert again.headers["webhook-id"] == call.headers["webhook-id"]
    assert again.body == call.body


def test_a_replay_starts_the_schedule_anew(client, sessions, receiver, drain: Drain) -> None:
    receiver.routes["/hook"] = lambda _: reply(500)
    register(client, receiver.url("/hook"))
    end_a_job(client)
    drain()
    for _ in range(3):
        make_due(sessions)
        drain()
    [delivery] = client.get("/v1/webhook-deliveries").json()["data"]
    client.post(f"/v1/webhook-deliveries/{delivery['id']}/replay")
    drain()
    [delivery] = client.get("/v1/webhook-deliveries").json()["data"]
    assert datetime.fromisoformat(delivery["due_at"]) - datetime.now(UTC) < timedelta(seconds=6)


def test_a_ping_is_tried_once(client, receiver, drain: Drain) -> None:
    answers = iter([reply(500), reply(200)])
    receiver.routes["/hook"] = lambda _: next(answers)
    endpoint = register(client, receiver.url("/hook"), events=["batch.failed"])
    pinged = client.post(page(endpoint, "/ping"))
    assert (pinged.status_code, pinged.json()["event_type"]) == (202, "endpoint.ping")
    [call] = drain()
    body = Webhook(endpoint["secret"]).verify(call.body, call.headers)
    assert (body["type"], body["data"]["endpoint_id"]) == ("endpoint.ping", endpoint["id"])
    detail = client.get(f"/v1/webhook-deliveries/{pinged.json()['id']}").json()
    assert (detail["status"], [one["http_status"] for one in detail["attempts"]]) == ("exhausted", [500])
    assert detail["job_id"] is None
    second = client.post(page(endpoint, "/ping")).json()
    drain()
    assert client.get(f"/v1/webhook-deliveries/{second['id']}").json()["status"] == "delivered"


def test_events_are_pulled_and_acknowledged(client, sessions, drain: Drain) -> None:
    endpoint = register(client, None)
    jobs = [end_a_job(client) for _ in range(3)]
    assert drain() == []
    pulled = client.post(page(endpoint, "/pull"), json={"limit": 2}).json()["data"]
    bodies = [Webhook(endpoint["secret"]).verify(one["body"], one["headers"]) for one in pulled]
    assert [body["data"]["id"] for body in bodies] == jobs[:2]
    arrived = [pulled[0]["delivery_id"]]
    [third] = client.post(page(endpoint, "/pull"), json={"arrived": arrived}).json()["data"]
    assert json.loads(third["body"])["data"]["id"] == jobs[2]
    assert client.post(page(endpoint, "/pull")).json()["data"] == []  # the second is still leased
    make_due(sessions)
    again = client.post(page(endpoint, "/pull"), json={"arrived": [third["delivery_id"]]}).json()["data"]
    assert [one["headers"]["webhook-id"] for one in again] == [pulled[1]["headers"]["webhook-id"]]
    statuses = [one["status"] for one in client.get("/v1/webhook-deliveries").json()["data"]]
    assert statuses == ["delivered", "held", "delivered"]


def test_pulling_and_calling_do_not_mix(client: TestClient) -> None:
    called, pulled = register(client, "https://hooks.example/"), register(client, None)
    refused = client.post(page(called, "/pull"))
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_is_called")
    refused = client.patch(page(pulled), json={"url": "https://hooks.example/"})
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_is_pulled")


def test_a_listener_that_went_away_is_not_waited_for(client, sessions, settings) -> None:
    endpoint = register(client, None)
    end_a_job(client)
    with sessions.begin() as session:
        session.execute(update(WebhookEndpoint).values(created_at=func.now() - timedelta(days=2)))
    res = sweep.build(settings)
    done = sweep.sweep(res)
    res.close()
    assert done["left_endpoints"] == 1
    assert client.get(page(endpoint)).json()["disabled_reason"] == "not_pulled"
    assert client.get("/v1/webhook-deliveries").json()["data"][0]["status"] == "canceled"


def test_a_deleted_endpoint_is_gone_and_its_row_goes_later(client, sessions, settings, drain: Drain) -> None:
    endpoint = register(client, "https://hooks.example/")
    client.post(page(endpoint, "/ping"))
    assert client.delete(page(endpoint)).status_code == 204
    assert client.get(page(endpoint)).status_code == client.delete(page(endpoint)).status_code == 404
    assert drain() == []
    assert client.get("/v1/webhook-deliveries").json()["data"][0]["status"] == "canceled"
    res = sweep.build(Settings(**{**settings.model_dump(), "rows_retention": timedelta(0)}))
    assert [sweep.sweep(res)["forgotten_webhooks"] for _ in range(2)] == [2, 0]
    res.close()
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(WebhookEndpoint)) == 0


def test_lists_have_pages_and_filters(client: TestClient) -> None:
    endpoints = [register(client, f"https://hooks.example/{number}")["id"] for number in range(3)]
    first = client.get("/v1/webhook-endpoints?limit=2")
    assert [one["id"] for one in first.json()["data"]] == endpoints[:0:-1]
    assert first.json()["has_more"]
    assert f'starting_after={endpoints[1]}>; rel="next"' in first.headers["Link"]
    job = end_a_job(client)
    rows = client.get(f"/v1/webhook-deliveries?job_id={job}&limit=2")
    assert rows.json()["has_more"]
    assert f"job_id={job}" in rows.headers["Link"]
    of_one = client.get(f"/v1/webhook-deliveries?endpoint_id={endpoints[0]}&status=pending").json()["data"]
    assert [one["endpoint_id"] for one in of_one] == [endpoints[0]]
    assert len(client.get(f"/v1/webhook-deliveries?event_id={of_one[0]['event_id']}").json()["data"]) == 3
    none = client.get("/v1/webhook-deliveries?batch_id=batch_0199c0ffee007000800000000000cafe")
    assert none.json()["data"] == []
    bad = client.get("/v1/webhook-deliveries?job_id=batch_1")
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/job_id")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "invalid_option", "/url"),
        ({"url": "http://10.0.0.1/"}, "invalid_webhook_url", "/url"),
        ({"url": "ftp://hooks.example/"}, "invalid_webhook_url", "/url"),
        ({"url": "https://hooks.example/", "events": ["job.exploded"]}, "invalid_option", "/events/0"),
        ({"url": "https://hooks.example/", "events": []}, "invalid_option", "/events"),
        ({"url": "https://hooks.example/", "secret": "mine"}, "unknown_field", "/secret"),
    ],
)
def test_a_bad_registration_is_told_why(client: TestClient, body: dict, code: str, pointer: str) -> None:
    refused = client.post("/v1/webhook-endpoints", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["errors"][0]["pointer"] == pointer


def test_a_key_has_so_many_endpoints_and_no_more(client: TestClient) -> None:
    for number in range(20):
        register(client, f"https://hooks.example/{number}")
    refused = client.post("/v1/webhook-endpoints", json={"url": "https://hooks.example/"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_endpoints")


def test_another_keys_endpoints_and_deliveries_are_not_there(client, stranger, anonymous) -> None:
    endpoint = register(client, "https://hooks.example/")
    end_a_job(client)
    [delivery] = client.get("/v1/webhook-deliveries").json()["data"]
    own, log = page(endpoint), f"/v1/webhook-deliveries/{delivery['id']}"
    asks = [
        ("GET", own, None),
        ("PATCH", own, {}),
        ("DELETE", own, None),
        ("POST", f"{own}/ping", None),
        ("POST", f"{own}/pull", {}),
        ("POST", f"{own}/rotate-secret", {}),
        ("POST", f"{own}/replay-failed", {"since": "2026-01-01T00:00:00Z"}),
        ("GET", log, None),
        ("POST", f"{log}/replay", None),
    ]
    for method, path, body in asks:
        assert stranger.request(method, path, json=body).status_code == 404, path
        assert anonymous.request(method, path, json=body).status_code == 401, path
    for listed in ("/v1/webhook-endpoints", "/v1/webhook-deliveries"):
        assert stranger.get(listed).json()["data"] == []
    end_a_job(stranger)
    assert len(client.get("/v1/webhook-deliveries").json()["data"]) == 1
