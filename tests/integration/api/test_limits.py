"""A key's limits: requests, megapixels, queue depth; headers, refusals; and life without Redis."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import insert, text

from api.app import create_app
from cli.embedded import EmbeddedBroker
from config.settings import Settings
from db import queues
from db.models import Job
from db.session import Sessions
from jobs import keys
from jobs.ids import new_id
from jobs.keys import IssuedKey
from jobs.models import Models
from jobs.quotas import OwnQuotas
from tests.factories import make_key
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import photo, submit

EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


def limit(sessions: Sessions, key: IssuedKey, **changes: int) -> None:
    with sessions.begin() as session:
        keys.change(session, key.id, changes)


def post(client: TestClient, size: tuple[int, int] = (40, 30), **headers: str):
    return client.post("/v1/jobs", files={"image_file": ("a.png", photo("PNG", size))}, headers=headers)


def test_requests_a_minute(client: TestClient, stranger: TestClient, sessions: Sessions, key: IssuedKey) -> None:
    limit(sessions, key, requests_per_minute=3)
    for left in (2, 1, 0):
        reply = client.get("/v1/jobs")
        assert (reply.status_code, reply.headers["ratelimit-policy"]) == (200, '"requests";q=3;w=60')
        assert re.fullmatch(rf'"requests";r={left};t=(60|59)', reply.headers["ratelimit"])
    # No address that a caller names makes it another caller.
    refused = client.get("/v1/models", headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"})
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["retryable"]) == (429, "rate_limited", True)
    assert (problem["type"], problem["violated-policies"]) == (EXCEEDED, ["requests"])
    assert 58 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert stranger.get("/v1/jobs").status_code == 200
    limit(sessions, key, requests_per_minute=0)
    unlimited = client.get("/v1/jobs")
    assert (unlimited.status_code, "ratelimit" in unlimited.headers) == (200, False)


def test_a_window_ends(app: FastAPI) -> None:
    take = app.state.context.limiter._counters.take
    assert take("x", 1, quota=1, window_s=1).is_admitted
    assert not take("x", 1, quota=1, window_s=1).is_admitted
    time.sleep(1.05)
    assert take("x", 1, quota=1, window_s=1).is_admitted


def test_megapixels_a_minute(client: TestClient, sessions: Sessions, key: IssuedKey, files: Path) -> None:
    limit(sessions, key, megapixels_per_minute=1)
    first = post(client, (1000, 900))
    assert (first.status_code, first.headers["ratelimit"].split(", ")[2][:18]) == (202, '"megapixels";r=0;t')
    assert post(client, (1000, 900)).status_code == 202  # less than the quota was used
    refused = post(client)
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["megapixels"])
    by_url = client.post("/v1/jobs", json={"image_url": "https://shop.example/a.jpg"})
    assert (by_url.status_code, by_url.json()["code"]) == (429, "rate_limited")
    assert len(client.get("/v1/jobs").json()["data"]) == 2
    assert len(list(files.rglob("input"))) == 2


def test_a_refused_photo_is_judged_first(client: TestClient, sessions: Sessions, key: IssuedKey) -> None:
    limit(sessions, key, queue_depth=1)
    submit(client)
    bad = client.post("/v1/jobs", files={"image_file": ("a.png", b"no photo")})
    assert bad.json()["code"] == "invalid_file_type"
    assert post(client).json()["code"] == "queue_full"


def test_queue_depth(client: TestClient, sessions: Sessions, key: IssuedKey) -> None:
    limit(sessions, key, queue_depth=2)
    jobs = [submit(client) for _ in range(2)]
    refused = post(client, **{"Idempotency-Key": "a"})
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["type"]) == (429, "queue_full", EXCEEDED)
    assert problem["violated-policies"] == ["queue"]
    assert refused.headers["retry-after"] == "30"
    assert '"queue";q=2' in refused.headers["ratelimit-policy"]
    client.post(jobs[0]["urls"]["cancel"])
    assert post(client, **{"Idempotency-Key": "a"}).status_code == 202


def test_depth_is_counted_from_an_index(sessions: Sessions) -> None:
    with sessions.begin() as session:
        key_id = make_key(session).id
        ids = [{"id": new_id(), "api_key_id": key_id, "params": {}} for _ in range(2000)]
        session.execute(insert(Job), ids)
        assert queues.count_open(session, key_id, at_most=10_000) == 2000
        assert queues.count_open(session, key_id, at_most=5) == 5
        session.execute(text("UPDATE jobs SET status = 'canceled', completed_at = now() WHERE random() < 0.9"))
        session.execute(text("ANALYZE jobs"))
        session.execute(text("SET LOCAL enable_seqscan = off"))  # the table is small
        query = "EXPLAIN SELECT id FROM jobs WHERE api_key_id = :key AND status IN ('queued', 'processing')"
        plan = "\n".join(session.scalars(text(f"{query} AND deleted_at IS NULL LIMIT 10000"), {"key": key_id}))
    assert "ix_jobs_list_status" in plan


def test_limits_are_shown(client: TestClient, settings: Settings, sessions: Sessions, key: IssuedKey) -> None:
    limit(sessions, key, queue_depth=7, requests_per_minute=0)
    assert settings.megapixels_per_minute == 0
    shown = {"requests_per_minute": None, "megapixels_per_minute": None, "queue_depth": 7}
    assert client.get("/v1/limits").json()["key"] == shown


def test_an_admin_sets_limits(app: FastAPI, sessions: Sessions) -> None:
    with sessions.begin() as session:
        admin = open_client(app, make_key(session, "admin", {keys.Scope.ADMIN}).token)
    made = admin.post("/v1/keys", json={"name": "shop", "queue_depth": 5}).json()
    url = f"/v1/keys/{made['id']}"
    assert (made["queue_depth"], made["requests_per_minute"]) == (5, None)
    changed = admin.patch(url, json={"name": "Shop", "requests_per_minute": 1, "queue_depth": None}).json()
    assert (changed["name"], changed["requests_per_minute"], changed["queue_depth"]) == ("Shop", 1, None)
    shop = open_client(app, made["token"])
    assert [shop.get("/v1/jobs").status_code for _ in range(2)] == [200, 429]
    for body in ({"queue_depth": -1}, {"queue_depth": 2**31}, {"name": ""}, {"name": None}, {"queue_depth": "5"}):
        assert admin.patch(url, json=body).json()["code"] == "invalid_option", body
    admin.post(f"{url}/revoke")
    assert admin.patch(url, json={"name": "a"}).json()["code"] == "key_ended"


def test_own_limits_come_first() -> None:
    service = OwnQuotas(10, 0, 5)
    assert vars(OwnQuotas(None, 7, 0).effective(service)) == {
        "requests_per_minute": 10,
        "megapixels_per_minute": 7,
        "queue_depth": None,
    }


@pytest.fixture
def lonely_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    server = EmbeddedBroker(tmp_path / "valkey")
    yield server
    server.stop()


def test_without_redis_all_is_admitted(
    database: str, lonely_broker: EmbeddedBroker, key: IssuedKey, sessions: Sessions, tmp_path: Path
) -> None:
    limit(sessions, key, requests_per_minute=1, megapixels_per_minute=1)
    settings = Settings(database_url=database, broker_url=lonely_broker.url, data_dir=tmp_path)
    with open_client(create_app(settings, models=Models((SPEC,))), key.token) as client:
        assert [client.get("/v1/jobs").status_code for _ in range(2)] == [200, 429]
        lonely_broker.stop()
        begun = time.monotonic()
        replies = [client.get("/v1/jobs") for _ in range(3)]
        assert time.monotonic() - begun < 2
        assert [(reply.status_code, "ratelimit" in reply.headers) for reply in replies] == [(200, False)] * 3
        assert post(client).status_code == 202
        found = re.search(r"^packshot_rate_limit_failures_total (\S+)", client.get("/metrics").text, re.MULTILINE)
        assert found is not None
        assert float(found[1]) >= 4
