"""Keys, problems of every page, request ids, health, metrics, documentation; and life without broker or database."""

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from cli.embedded import EmbeddedBroker
from config.settings import Settings
from db import keys as key_rows
from db import workers
from db.session import Sessions
from jobs import registry
from jobs.keys import IssuedKey
from jobs.models import Models
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import finish, photo, submit


def test_a_key_is_asked_for(anonymous: TestClient, client: TestClient, sessions: Sessions, key: IssuedKey) -> None:
    for headers in (
        {},
        {"X-Api-Key": "pk_live_x"},
        {"Authorization": f"Basic {key.token}"},
        {"X-Api-Key": key.token[:-1]},
    ):
        for method, page in (("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/v1/limits"), ("GET", "/v1/models")):
            reply = anonymous.request(method, page, headers=headers)
            assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
            assert reply.headers["www-authenticate"].startswith("Bearer")
    assert anonymous.get("/v1/jobs", headers={"X-Api-Key": key.token}).status_code == 200
    with sessions.begin() as session:
        key_rows.revoke(session, key.id)
    assert client.get("/v1/jobs").status_code == 401


def test_a_key_in_the_query_is_refused(client: TestClient, key: IssuedKey) -> None:
    for query in ({"api_key": "x"}, {"Access_Token": "x"}, {"note": key.token}):
        reply = client.get("/v1/jobs", params=query)
        assert (reply.status_code, reply.json()["code"]) == (401, "key_in_query")
        assert key.token not in reply.text


def test_every_failure_is_a_problem(client: TestClient) -> None:
    for method, page, status, code in (
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("DELETE", "/v1/limits", 405, "method_not_allowed"),
    ):
        reply = client.request(method, page)
        problem = reply.json()
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
        assert set(problem) == {
            *("type", "title", "status", "detail", "instance", "code", "errors", "request_id", "retryable")
        }
        assert (problem["code"], problem["status"], problem["instance"]) == (code, status, page)
        assert problem["type"] == f"/docs/errors#{code}"
        assert problem["request_id"] == reply.headers["x-request-id"]
    assert "POST" in client.put("/v1/jobs").headers["allow"]


def test_a_defect_leaks_nothing(app: FastAPI, client: TestClient) -> None:
    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret")

    reply = client.get("/broken")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret" not in reply.text
    assert reply.headers["x-request-id"] == reply.json()["request_id"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_request_ids_are_echoed_or_made(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "shop-42.a_b"}).headers["x-request-id"] == "shop-42.a_b"
    for bad in ("a b", "x" * 65, "<script>", ""):
        made = client.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"]
        assert re.fullmatch(r"req_[0-9a-f]{24}", made)


def test_headers_that_browsers_heed(client: TestClient) -> None:
    headers = client.get("/v1/jobs").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in client.get("/v1/jobs", headers={"Origin": "https://x.example"}).headers


def test_logs_hold_no_key_and_no_query(client: TestClient, key: IssuedKey) -> None:
    with structlog.testing.capture_logs() as logs:
        client.get("/v1/jobs", params={"starting_after": "needle"})
        client.get("/v1/jobs", params={"k": key.token})
    requests = [entry for entry in logs if entry["event"] == "request"]
    assert [entry["status"] for entry in requests] == [422, 401]
    assert {entry["route"] for entry in requests} == {"/v1/jobs"}
    assert [entry["api_key_id"] for entry in requests] == [str(key.id), None]
    assert "needle" not in str(logs)
    assert "pk_live" not in str(logs)


def test_limits_and_models(client: TestClient, settings: Settings) -> None:
    limits = client.get("/v1/limits").json()
    assert limits["max_upload_bytes"] == settings.max_upload_bytes
    assert limits["files_retention_s"] == 7 * 86_400
    assert client.get("/v1/models").json()["data"] == [
        {"id": "unet-fast@1", "object": "model", "name": "unet-fast", "version": "1", "is_default": True}
    ]


def test_ready_tells_of_broker_and_workers(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        workers.beat(session, "gpu0@a", kind="gpu", pid=1, progressed=False)
    reply = client.get("/readyz")
    assert reply.status_code == 200
    assert reply.json() == {
        "status": "ready",
        "checks": {"database": "ok", "storage": "ok", "broker": "ok"},
        "workers": {"gpu": 1, "io": 0, "sweeper": 0},
    }
    assert client.get("/healthz").json() == {"status": "ok"}


def test_metrics_name_routes_not_jobs(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    job = submit(client)
    client.get(job["urls"]["self"])
    client.get("/v1/unknown/" + job["id"])
    text = client.get("/metrics").text
    assert 'packshot_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 1.0' in text
    assert 'packshot_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'packshot_http_request_duration_seconds_count{method="POST",route="/v1/jobs"} 1.0' in text
    assert f"packshot_uploaded_bytes_total {float(len(photo()))}" in text
    assert 'packshot_jobs{status="queued"} 1.0' in text
    assert 'packshot_due_jobs{lane="normal"} 1.0' in text
    assert 'packshot_due_errands{kind="webhook"} 0.0' in text
    assert 'packshot_workers{kind="gpu"} 0.0' in text
    assert "packshot_database_up 1.0" in text
    assert job["id"] not in text
    finish(sessions, settings)
    assert 'packshot_jobs{status="queued"} 0.0' in client.get("/metrics").text


def test_the_documentation_needs_no_internet(anonymous: TestClient) -> None:
    page = anonymous.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    for asset in re.findall(r'(?:src|href)="(/docs/assets/[^"]+)"', page.text):
        assert anonymous.get(asset).status_code == 200
    assert 'id="file_too_large"' in anonymous.get("/docs/errors").text


def test_openapi_describes_both_bodies_and_the_problems(anonymous: TestClient) -> None:
    schema = anonymous.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    submit_job = schema["paths"]["/v1/jobs"]["post"]
    assert set(submit_job["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert submit_job["security"] == [{"bearer": []}, {"api_key": []}]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert "application/json" not in operation["responses"].get("422", {}).get("content", {}), path
    assert "`file_too_large`" in submit_job["responses"]["413"]["description"]


@pytest.fixture
def lonely_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    server = EmbeddedBroker(tmp_path / "valkey")
    yield server
    server.stop()


def test_without_a_broker_photos_are_taken_all_the_same(
    database: str, lonely_broker: EmbeddedBroker, key: IssuedKey, tmp_path: Path
) -> None:
    settings = Settings(database_url=database, broker_url=lonely_broker.url, data_dir=tmp_path)
    with open_client(create_app(settings, models=Models((SPEC,))), key.token) as client:
        submit(client)
        lonely_broker.stop()
        begun = time.monotonic()
        for _ in range(5):
            submit(client)
        assert time.monotonic() - begun < 3
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["broker"]) == (200, "unreachable")
        lonely_broker.restart()


def test_without_a_database_the_answer_is_later(broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql://packshot:hunter2@127.0.0.1:1/packshot"
    settings = Settings(database_url=url, broker_url=broker, data_dir=tmp_path)
    token = f"pk_live_{'a' * 8}_{'b' * 43}"
    with caplog.at_level(logging.DEBUG), open_client(create_app(settings, models=Models((SPEC,))), token) as client:
        for reply in (client.get("/v1/jobs"), client.post("/v1/jobs", files={"image_file": ("a.jpg", photo())})):
            assert (reply.status_code, reply.json()["code"]) == (503, "database_unavailable")
            assert reply.json()["retryable"]
            assert reply.headers["retry-after"] == "5"
            assert "hunter2" not in reply.text
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "service_not_ready")
        assert ready.json()["checks"]["database"] == "unreachable"
        assert client.get("/healthz").status_code == 200
        assert "packshot_database_up 0.0" in client.get("/metrics").text


def test_an_imported_model_can_be_named_and_is_listed(
    client: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.registry._FRESH_S", 0.0)
    brought = replace(SPEC, version="2")
    form = {"files": {"image_file": ("a.jpg", photo())}, "data": {"model": "unet-fast@2"}}
    assert client.post("/v1/jobs", **form).json()["errors"][0]["code"] == "unknown_model"  # type: ignore[arg-type]
    with sessions.begin() as session:
        registry.register(session, brought, Models((SPEC,)), key="models/x", size_bytes=1, source="test")
        registry.promote(session, "unet-fast@2", Models((SPEC,)))
    assert submit(client, model="unet-fast@2")["params"]["model"] == "unet-fast@2"
    listed = {each["id"]: each["is_default"] for each in client.get("/v1/models").json()["data"]}
    assert listed == {"unet-fast@1": False, "unet-fast@2": True}
