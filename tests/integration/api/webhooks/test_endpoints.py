"""An endpoint from its secret to its end: rotated, changed, eased off, disabled; the reference library judges."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from db.session import Sessions
from db.webhook_models import WebhookEndpoint
from jobs.event_types import ENDS
from jobs.keys import IssuedKey
from tests.integration.api.support import submit
from tests.integration.api.webhooks.support import Drain, end_a_job, make_due, page, register, types
from tests.receivers import reply


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
