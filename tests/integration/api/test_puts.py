"""Asking for a PUT: by form, by JSON, by the lines of a batch; what is refused, and what is never shown again."""

import json

import pytest
import structlog
from fastapi.testclient import TestClient
from sqlalchemy import select

from config.settings import Settings
from db.models import Job
from db.put_models import Put
from db.session import Sessions
from packshot_client import Client
from packshot_client import Put as PutReport
from tests.batches import BatchWorker
from tests.integration.api.support import CUTOUT, finish, photo, submit

URL = "https://bucket.s3.example/mug.png?X-Amz-Signature=0123456789abcdef"
HEADERS = {"x-ms-blob-type": "BlockBlob", "Authorization": "Bearer very-secret"}
SECRETS = ("0123456789abcdef", "very-secret")


def rows(sessions: Sessions) -> list[tuple[str, str | None, dict | None]]:
    with sessions() as session:
        return [(put.name, put.url, put.headers) for put in session.scalars(select(Put).order_by(Put.id))]


def test_urls_are_kept_and_never_shown(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    with structlog.testing.capture_logs() as logs:
        made = submit(client, put_url=URL, put_headers=json.dumps(HEADERS), webhook_url="https://shop.example/hook")
        finish(sessions, settings)
        job = client.get(made["urls"]["self"]).json()
    assert rows(sessions) == [("cutout", URL, HEADERS)]
    assert (job["status"], job["completed_at"]) == ("processing", None)
    assert job["outputs"][0]["put"] == {
        "status": "pending",
        "host": "bucket.s3.example",
        "tries": 0,
        "error": None,
        "completed_at": None,
    }
    for secret in SECRETS:
        assert secret not in f"{made} {job} {logs}"
    assert client.get(job["outputs"][0]["url"]).content == CUTOUT, "what is made can be downloaded meanwhile"


def test_each_output_has_a_url_of_its_own(client: TestClient, sessions: Sessions) -> None:
    outputs = [{"name": "main", "put_url": f"{URL}&n=1"}, {"name": "plain"}, {"name": "small", "put_url": f"{URL}&n=2"}]
    reply = client.post("/v1/jobs", json={"image_url": "https://shop.example/mug.jpg", "outputs": outputs})
    assert reply.status_code == 202, reply.text
    assert rows(sessions) == [("main", f"{URL}&n=1", {}), ("small", f"{URL}&n=2", {})]
    assert "put_url" not in reply.text


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"put_url": "http://10.0.0.1/x"}, "/put_url", "invalid_put_url"),
        ({"put_url": 7}, "/put_url", "invalid_put_url"),
        ({"put_url": URL, "put_headers": {"Host": "x"}}, "/put_headers", "invalid_put_headers"),
        ({"put_url": URL, "put_headers": "x"}, "/put_headers", "invalid_put_headers"),
        ({"put_url": URL, "put_headers": {"X": 1}}, "/put_headers", "invalid_put_headers"),
        ({"put_url": URL, "outputs": [{}]}, "/put_url", "invalid_outputs"),
        ({"outputs": [{}, {"name": "b", "put_url": "x"}]}, "/outputs/1/put_url", "invalid_put_url"),
    ],
)
def test_what_is_no_target_is_refused(
    client: TestClient, sessions: Sessions, fields: dict, pointer: str, code: str
) -> None:
    reply = client.post("/v1/jobs", json={"image_url": "https://shop.example/mug.jpg", **fields})
    assert reply.status_code == 422
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in reply.json()["errors"]]
    assert rows(sessions) == []


def test_a_photo_that_was_cut_out_before_is_put_all_the_same(
    client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    first = submit(client, dedupe="reuse")
    finish(sessions, settings)
    again = submit(client, dedupe="reuse", put_url=URL)
    assert again["id"] != first["id"]


def test_a_further_output_is_put(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    made = submit(client)
    finish(sessions, settings)
    page = f"{made['urls']['self']}/outputs"
    assert client.post(page, json={"name": "more", "put_url": "x"}).json()["errors"][0]["code"] == "invalid_put_url"
    assert client.post(page, json={"name": "more", "put_url": URL}).status_code == 202
    assert rows(sessions) == [("more", URL, {})]


def test_lines_of_a_batch_have_urls(client: TestClient, sessions: Sessions, worker: BatchWorker) -> None:
    lines = [
        {"custom_id": "1", "image_url": "https://shop.example/1.jpg", "put_url": f"{URL}&n=1"},
        {"custom_id": "2", "image_url": "https://shop.example/2.jpg", "outputs": [{"put_url": f"{URL}&n=2"}]},
        {"custom_id": "3", "image_url": "https://shop.example/3.jpg", "put_url": "http://10.0.0.1/?0123456789abcdef"},
    ]
    manifest = "\n".join(map(json.dumps, lines)).encode()
    reply = client.post("/v1/batches", files={"file": ("lines.jsonl", manifest)}, data={"skip_invalid": "true"})
    assert reply.status_code in {200, 202}, reply.text
    worker.work()
    assert rows(sessions) == [("cutout", f"{URL}&n=1", {}), ("cutout", f"{URL}&n=2", {})]
    with sessions() as session:
        assert [job.has_puts for job in session.scalars(select(Job))] == [True, True]
    batch = client.get(f"/v1/batches/{reply.json()['id']}")
    assert "invalid_put_url" in batch.text
    assert SECRETS[0] not in batch.text


def test_a_batch_has_no_url_for_all(client: TestClient) -> None:
    files = {"file": ("lines.jsonl", b'{"image_url": "https://shop.example/1.jpg"}\n')}
    reply = client.post("/v1/batches", files=files, data={"put_url": URL})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (422, "invalid_put_url")


def test_a_key_sent_twice_makes_one_put(client: TestClient, sessions: Sessions) -> None:
    for _ in range(2):
        reply = client.post(
            "/v1/jobs",
            files={"image_file": ("mug.jpg", photo())},
            data={"put_url": URL},
            headers={"Idempotency-Key": "one"},
        )
        assert reply.status_code == 202
    assert len(rows(sessions)) == 1


def test_the_client_reads_how_a_put_fares(url: str, key, sessions: Sessions, settings: Settings) -> None:
    with Client(url, key.token) as packshot:
        made = packshot.jobs.create(photo(), filename="mug.jpg", put_url=URL, put_headers=HEADERS)
        finish(sessions, settings)
        [output] = packshot.jobs.get(made.id).outputs
    assert rows(sessions) == [("cutout", URL, HEADERS)]
    assert output.put == PutReport("pending", "bucket.s3.example")
