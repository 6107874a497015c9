"""Deliveries again and otherwise: replay, ping, pulled events, lists; and nothing of them for another key."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook

from config.settings import Settings
from db.webhook_models import WebhookEndpoint
from tests.integration.api.support import submit
from tests.integration.api.webhooks.support import Drain, end_a_job, make_due, page, register
from tests.receivers import reply
from worker import sweep


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
