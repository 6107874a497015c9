"""Keys over HTTP: scopes, expiry, rotation, last used, revocation; and what is shown of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from db.session import Sessions
from jobs.keys import IssuedKey, Scope
from tests.factories import make_key
from tests.integration.api.conftest import open_client
from tests.integration.api.support import photo, submit


@pytest.fixture
def admin(app: FastAPI, sessions: Sessions) -> Iterator[TestClient]:
    with sessions.begin() as session:
        issued = make_key(session, "admin", {Scope.ADMIN})
    with open_client(app, issued.token) as client:
        yield client


def create(admin: TestClient, **body: object) -> dict:
    reply = admin.post("/v1/keys", json={"name": "shop", **body})
    assert reply.status_code == 201, reply.text
    return reply.json()


def test_each_page_asks_for_its_scope(app: FastAPI, sessions: Sessions, client: TestClient) -> None:
    job = submit(client)["urls"]["self"]
    endpoint, delivery = "/v1/webhook-endpoints/whe_x", "/v1/webhook-deliveries/whd_x"
    pages = {
        Scope.JOBS_READ: [
            *(("GET", "/v1/jobs"), ("GET", job), ("GET", f"{job}/outputs/cutout"), ("GET", f"{job}/matte")),
            *(("GET", "/v1/webhook-endpoints"), ("GET", endpoint)),
            *(("GET", "/v1/webhook-deliveries"), ("GET", delivery)),
        ],
        Scope.JOBS_WRITE: [
            *(("POST", "/v1/jobs"), ("POST", f"{job}/cancel"), ("DELETE", job)),
            *(("POST", "/v1/webhook-endpoints"), ("PATCH", endpoint), ("DELETE", endpoint)),
            *(("POST", f"{endpoint}/{act}") for act in ("rotate-secret", "ping", "replay-failed", "pull")),
            *(("POST", f"{delivery}/replay"), ("POST", "/v1/webhook-secret/rotate")),
        ],
        Scope.ADMIN: [
            *(("GET", "/v1/keys"), ("POST", "/v1/keys"), ("GET", "/v1/keys/key_x")),
            *(("POST", "/v1/keys/key_x/rotate"), ("POST", "/v1/keys/key_x/revoke")),
        ],
    }
    for scope, own in pages.items():
        with sessions.begin() as session:
            others = make_key(session, "others", set(Scope) - {scope})
            alone = make_key(session, "alone", {scope})
        for method, page in own:
            refused = open_client(app, others.token).request(method, page)
            assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope"), page
            assert refused.json()["required_scope"] == scope.value
            assert open_client(app, alone.token).request(method, page).status_code != 403, page


def test_the_scope_is_asked_for_before_the_body(app: FastAPI, sessions: Sessions) -> None:
    with sessions.begin() as session:
        reader = make_key(session, "reader", {Scope.JOBS_READ})
    reply = open_client(app, reader.token).post("/v1/jobs", files={"image_file": ("a.jpg", photo())})
    assert (reply.status_code, reply.json()["code"]) == (403, "missing_scope")


def test_a_key_is_shown_once(app: FastAPI, admin: TestClient) -> None:
    made = create(admin, scopes=["jobs:read"])
    assert made["token"].startswith("pk_live_")
    assert made["webhook_secret"].startswith("whsec_")
    assert (made["status"], made["scopes"], made["last_used_at"]) == ("live", ["jobs:read"], None)
    shown = admin.get(f"/v1/keys/{made['id']}")
    assert shown.json() == {name: made[name] for name in made.keys() - {"token", "webhook_secret"}}
    assert open_client(app, made["token"]).get("/v1/jobs").status_code == 200
    used = admin.get(f"/v1/keys/{made['id']}").json()
    assert used["last_used_at"] == used["secrets"][0]["last_used_at"] is not None
    secret = made["token"].split("_", 3)[3]
    assert secret not in admin.get("/v1/keys").text
    assert made["webhook_secret"] not in admin.get("/v1/keys").text


def test_a_rotated_key_has_two_secrets_for_a_while(app: FastAPI, admin: TestClient, sessions: Sessions) -> None:
    made = create(admin)
    first = open_client(app, made["token"])
    job = submit(first)["urls"]["self"]
    rotated = admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 3600}).json()
    second = open_client(app, rotated["token"])
    assert {first.get(job).status_code, second.get(job).status_code} == {200}
    old, new = rotated["secrets"]
    assert new["expires_at"] is None
    ends_in = datetime.fromisoformat(old["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < ends_in <= timedelta(hours=1)
    third = open_client(app, admin.post(f"/v1/keys/{made['id']}/rotate").json()["token"])
    assert [each.get(job).status_code for each in (first, second, third)] == [401, 200, 200]
    with sessions.begin() as session:
        session.execute(text("UPDATE api_key_secrets SET expires_at = now() WHERE expires_at > now()"))
    assert [each.get(job).status_code for each in (second, third)] == [401, 200]


def test_an_overlap_of_nothing_ends_the_old_secret_now(app: FastAPI, admin: TestClient) -> None:
    made = create(admin)
    rotated = admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 0}).json()
    assert open_client(app, made["token"]).get("/v1/jobs").status_code == 401
    assert open_client(app, rotated["token"]).get("/v1/jobs").status_code == 200


def test_a_revoked_key_ends_with_all_its_secrets(app: FastAPI, admin: TestClient) -> None:
    made = create(admin)
    rotated = admin.post(f"/v1/keys/{made['id']}/rotate").json()
    revoked = admin.post(f"/v1/keys/{made['id']}/revoke").json()
    assert revoked["status"] == "revoked"
    for token in (made["token"], rotated["token"]):
        assert open_client(app, token).get("/v1/jobs").status_code == 401
    for action in ("rotate", "revoke"):
        reply = admin.post(f"/v1/keys/{made['id']}/{action}")
        assert (reply.status_code, reply.json()["code"]) == (409, "key_ended")


def test_a_key_expires(app: FastAPI, admin: TestClient, sessions: Sessions) -> None:
    made = create(admin, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    client = open_client(app, made["token"])
    assert client.get("/v1/jobs").status_code == 200
    with sessions.begin() as session:
        session.execute(text("UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL"))
    assert client.get("/v1/jobs").status_code == 401
    assert admin.get(f"/v1/keys/{made['id']}").json()["status"] == "expired"
    assert admin.post(f"/v1/keys/{made['id']}/rotate").json()["code"] == "key_ended"


def test_keys_come_in_pages(admin: TestClient) -> None:
    ids = [create(admin)["id"] for _ in range(3)][::-1]
    first = admin.get("/v1/keys", params={"limit": 2})
    assert [key["id"] for key in first.json()["data"]] == ids[:2]
    second = admin.get(first.links["next"]["url"]).json()
    assert next(key["id"] for key in second["data"]) == ids[2]
    assert admin.get("/v1/keys", params={"starting_after": "job_x"}).json()["code"] == "invalid_cursor"
    for name in ("key_x", "key_" + "0" * 32):
        assert admin.get(f"/v1/keys/{name}").status_code == 404
        assert admin.post(f"/v1/keys/{name}/revoke").status_code == 404


def test_bad_keys_are_refused(admin: TestClient, subtests: pytest.Subtests) -> None:
    for body, code, pointer in (
        ({}, "invalid_option", "/name"),
        ({"name": ""}, "invalid_option", "/name"),
        ({"name": "a\x00b"}, "invalid_option", "/name"),
        ({"name": "a", "scopes": ["root"]}, "invalid_option", "/scopes/0"),
        ({"name": "a", "scopes": []}, "invalid_option", "/scopes"),
        ({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}, "invalid_option", "/expires_at"),
        ({"name": "a", "expires_at": "9999-12-31T23:59:59-10:00"}, "invalid_option", "/expires_at"),
        ({"name": "a", "expires_at": "2099-01-01T00:00:00"}, "invalid_option", "/expires_at"),
        ({"name": "a", "nmae": "b"}, "unknown_field", "/nmae"),
    ):
        with subtests.test(body=body):
            reply = admin.post("/v1/keys", json=body)
            assert (reply.status_code, reply.json()["code"]) == (422, code)
            assert [error["pointer"] for error in reply.json()["errors"]] == [pointer]


def test_bodies_that_are_none(admin: TestClient, key: IssuedKey) -> None:
    for content, media_type, code in (
        (b"[]", "application/json", "invalid_json"),
        (b'{"name": "a", "name": "b"}', "application/json", "duplicate_field"),
        (b"name=a", "application/x-www-form-urlencoded", "unsupported_media_type"),
        (b'"' + b"x" * 70_000 + b'"', "application/json", "body_too_large"),
    ):
        reply = admin.post("/v1/keys", content=content, headers={"Content-Type": media_type})
        assert reply.json()["code"] == code
    reply = admin.post(f"/v1/keys/key_{key.id.hex}/rotate", json={"overlap_s": -1, "x": 1})
    assert reply.json()["code"] == "invalid_options"
