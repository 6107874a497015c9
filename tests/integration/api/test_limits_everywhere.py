"""No way around a key's limits: every route counts requests, and every way in counts photos."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from config.settings import Settings
from db.session import Sessions
from jobs import keys
from jobs.ids import new_id
from jobs.keys import IssuedKey, Scope
from jobs.models import Models
from jobs.quotas import MEGAPIXELS, counter_of
from tests.batches import batch_worker, jsonl, post, zipped
from tests.contracts.openapi_file import document
from tests.factories import make_key
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import photo
from tests.receivers import Receiver, reply
from worker import io

OPERATIONS = [
    (method.upper(), path)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
    if operation.get("security")
]
HIDDEN = [("POST", "/v1.0/removebg"), ("GET", "/v1.0/account"), ("GET", "/api/remove"), ("POST", "/api/remove")]
LINE = {"image_url": "https://shop.example/photos/mug.jpg"}


def limit(sessions: Sessions, key: IssuedKey, **changes: int) -> None:
    with sessions.begin() as session:
        keys.change(session, key.id, changes)


def used(app: FastAPI, key: IssuedKey) -> float:
    """Megapixels."""
    taken = app.state.context.limiter._counters.take(counter_of(MEGAPIXELS, key.id), 0, quota=10**9, window_s=60)
    return taken.used


@pytest.fixture
def spent(settings: Settings, sessions: Sessions) -> Iterator[TestClient]:
    """A client whose key has every scope, acts for rembg's clients, and has used up its one request."""
    with sessions.begin() as session:
        key = make_key(session, "all", set(Scope))
    limit(sessions, key, requests_per_minute=1)
    acting = Settings(**{**settings.model_dump(), "rembg_key": keys.public_id(key.id)})
    with open_client(create_app(acting, models=Models((SPEC,))), key.token) as client:
        assert client.get("/v1/jobs").status_code == 200
        yield client


def test_every_route_counts_requests(spent: TestClient) -> None:
    assert len(OPERATIONS) > 40
    for method, path in OPERATIONS + HIDDEN:
        url = path
        while "{" in url:
            url = url[: url.index("{")] + f"job_{new_id().hex}" + url[url.index("}") + 1 :]
        refused = spent.request(method, url)
        assert refused.status_code == 429, (method, path)
        assert "retry-after" in refused.headers, (method, path)


@pytest.mark.parametrize("policy", ["queue", "megapixels"])
def test_every_way_in_is_shut(
    client: TestClient, sessions: Sessions, key: IssuedKey, app: FastAPI, policy: str
) -> None:
    empty = client.post("/v1/batches", files={"file": ("m", b"\n")}).json()
    with batch_worker(app.state.context.settings) as worker:
        worker.work()  # ended: it could be run again
    if policy == "queue":
        limit(sessions, key, queue_depth=1)
        client.post("/v1/jobs", json=LINE)
    else:
        limit(sessions, key, megapixels_per_minute=1)
        client.post("/v1/jobs", files={"image_file": ("a.png", photo("PNG", (1000, 1000)))})
    ways = {
        "upload": client.post("/v1/uploads", files={"image_file": ("a.jpg", photo())}),
        "job": client.post("/v1/jobs", files={"image_file": ("a.jpg", photo())}),
        "url": client.post("/v1/jobs", json=LINE),
        "batch": post(client, jsonl(LINE)),
        "zip": post(client, zipped({"a.jpg": photo()}), "a.zip"),
        "retry": client.post(f"/v1/batches/{empty['id']}/retry", json={"only": "all"}),
        "removebg": client.post("/v1.0/removebg", files={"image_file": ("a.jpg", photo())}),
    }
    assert {name: answer.status_code for name, answer in ways.items()} == dict.fromkeys(ways, 429)
    assert ways["zip"].json()["violated-policies"] == [policy]
    assert f'"{policy}"' in ways["batch"].headers["ratelimit-policy"]


def test_photos_of_a_zip_are_charged(client: TestClient, sessions: Sessions, key: IssuedKey, app: FastAPI) -> None:
    limit(sessions, key, megapixels_per_minute=1)
    photos = {f"{n}.png": photo("PNG", (1000, 600)) for n in range(3)}
    assert post(client, zipped(photos), "m.zip").status_code == 202
    with batch_worker(app.state.context.settings) as worker:
        worker.work()
    assert used(app, key) == pytest.approx(1.8)
    refused = client.post("/v1/uploads", files={"image_file": ("a.jpg", photo())})
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["megapixels"])


def test_photos_behind_urls_are_charged(
    client: TestClient, sessions: Sessions, key: IssuedKey, app: FastAPI, settings: Settings
) -> None:
    limit(sessions, key, megapixels_per_minute=1)
    body = photo("PNG", (1200, 1000))
    with Receiver(lambda _: reply(200, body)) as receiver:
        opened = Settings(**{**settings.model_dump(), "egress_allow": (receiver.allow,)})
        with open_client(create_app(opened, models=Models((SPEC,))), key.token) as other:
            assert other.post("/v1/jobs", json={"image_url": receiver.url("/a.png")}).status_code == 202
        worker = io.build(opened)
        try:
            io.drain(worker)
        finally:
            worker.close()
    assert used(app, key) == pytest.approx(1.2)
    assert client.post("/v1/jobs", json=LINE).json()["violated-policies"] == ["megapixels"]
