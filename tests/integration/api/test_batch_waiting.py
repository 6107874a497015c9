"""Waiting for a batch, and deleting it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from config.settings import Settings
from db.batch_models import BadLine, Batch, Upload
from db.models import Job, Matte
from db.session import Sessions
from db.webhook_models import WebhookEvent
from jobs.keys import IssuedKey
from packshot_client import Client, ConflictError, NotFoundError
from tests.batches import BatchWorker, jsonl, submit, zipped
from tests.integration.api.support import finish, photo, stored
from tests.integration.api.test_waiting import meanwhile

LINE = {"image_url": "https://shop.example/photos/mug.jpg"}


def post(client: TestClient, wait: str, body: bytes) -> Any:
    return client.post("/v1/batches", files={"file": ("m", body)}, headers={"Prefer": wait})


def end(client: TestClient, worker: BatchWorker, batch: dict[str, Any]) -> str:
    """Cancel it and see it end; its URL."""
    url = f"/v1/batches/{batch['id']}"
    assert client.post(f"{url}/cancel").status_code == 200
    worker.work()
    assert client.get(url).json()["status"] == "canceled"
    return url


def test_prefer_wait(app: FastAPI, client: TestClient, worker: BatchWorker) -> None:
    with meanwhile(app, lambda: post(client, "wait=50", b"\n")) as future:
        worker.work()  # an empty batch fails at once
    reply = future.result()
    assert (reply.status_code, reply.json()["status"]) == (201, "failed")
    assert reply.headers["location"].endswith(f"/v1/batches/{reply.json()['id']}")
    assert (reply.headers["preference-applied"], "retry-after" in reply.headers) == ("wait=50", False)
    begun = time.monotonic()
    late = post(client, "wait=1", jsonl(LINE))
    assert 0.9 < time.monotonic() - begun < 5
    assert (late.status_code, late.json()["status"], late.headers["retry-after"]) == (202, "validating", "3")
    again = client.post(f"/v1/batches/{reply.json()['id']}/retry", json={"only": "all"}, headers={"Prefer": "wait=1"})
    assert again.json()["code"] == "nothing_to_retry"


def test_the_etag_holds_until_something_changes(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    url = f"/v1/batches/{submit(client, jsonl(LINE))['id']}"
    first = client.get(url)
    tag = first.headers["etag"]
    with sessions.begin() as session:  # what no reader sees
        session.execute(update(Batch).values(cursor_line=7, counted_at=func.now(), made=1))
    same = client.get(url, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["etag"], same.headers["retry-after"]) == (304, b"", tag, "3")
    with sessions.begin() as session:
        session.execute(update(Batch).values(cursor_line=0, made=0))
    worker.work()
    changed = client.get(url, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "in_progress")
    assert client.get(url, params={"wait": 61}).json()["code"] == "invalid_request"
    assert client.get("/v1/batches/nonsense", params={"wait": 1}).json()["code"] == "not_found"


def test_long_poll(app: FastAPI, client: TestClient, stranger: TestClient, worker: BatchWorker) -> None:
    url = f"/v1/batches/{submit(client, jsonl(LINE))['id']}"
    tag = client.get(url).headers["etag"]
    assert client.get(url, params={"wait": 1}, headers={"If-None-Match": tag}).status_code == 304
    with meanwhile(app, lambda: client.get(url, params={"wait": 30}, headers={"If-None-Match": tag})) as future:
        worker.work()  # any change will do
    assert future.result().status_code == 200
    with meanwhile(app, lambda: client.get(url, params={"wait": 30})) as future:
        client.post(f"{url}/cancel")
        worker.work()  # the end alone
    assert (future.result().json()["status"], "retry-after" in future.result().headers) == ("canceled", False)
    assert stranger.get(url, params={"wait": 30}).status_code == 404


def test_a_batch_that_runs_is_not_deleted(client: TestClient, stranger: TestClient, worker: BatchWorker) -> None:
    batch = submit(client, jsonl(LINE))
    url = f"/v1/batches/{batch['id']}"
    refused = client.delete(url)
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (409, "batch_not_ended", True)
    assert stranger.delete(url).status_code == 404
    end(client, worker, batch)
    assert client.delete(url).status_code == 204
    assert client.delete(url).json()["code"] == "not_found"


def test_nothing_is_left_of_a_deleted_batch(
    client: TestClient, worker: BatchWorker, sessions: Sessions, settings: Settings, files: Path
) -> None:
    """A ZIP with outputs, mattes and labels, and a job of another batch that uses one of its mattes."""
    other = submit(client, zipped({"same.jpg": photo()}), "other.zip")
    worker.work()
    finish(sessions, settings)
    key = {"Idempotency-Key": "once"}
    send = {"files": {"file": ("secret.zip", zipped({"same.jpg": photo(), "own.png": photo("PNG"), "bad": b"x"}))}}
    data = {"labels": '{"who": "secret"}', "skip_invalid": "true", "webhook_url": "https://shop.example/secret"}
    batch = client.post("/v1/batches", **send, data=data, headers=key).json()
    worker.work()
    finish(sessions, settings)
    worker.sweep()
    url = f"/v1/batches/{batch['id']}"
    assert client.get(url).json()["status"] == "completed"
    jobs = client.get(f"{url}/items").json()["data"]
    kept = stored(files)
    assert client.delete(url).status_code == 204
    for gone in (url, f"{url}/items", f"{url}/errors.jsonl", jobs[0]["urls"]["self"], jobs[1]["outputs"][0]["url"]):
        assert client.get(gone).status_code == 404, gone
    assert [one["id"] for one in client.get("/v1/batches").json()["data"]] == [other["id"]]
    assert len(client.get("/v1/jobs").json()["data"]) == 1
    replayed = client.post("/v1/batches", **send, data=data, headers=key)
    assert replayed.json() == {"id": batch["id"], "object": "batch", "deleted": True}
    for _ in range(2):  # jobs first, then the uploads that nobody needs
        worker.sweep()
    assert len(kept) > len(stored(files))
    with sessions() as session:
        inputs = session.scalars(select(Job.input_key).where(Job.input_key.is_not(None))).all()
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (BadLine, Upload, Matte)]
        left_over = select(func.count()).where(Job.deleted_at.is_not(None), Job.files_purged_at.is_(None))
        assert session.scalar(left_over) == 0
        bodies = session.scalars(select(WebhookEvent.body)).all()
        told = json.dumps([vars_of(row) for row in session.scalars(select(Batch).where(Batch.deleted_at.is_not(None)))])
    assert (len(inputs), counts) == (1, [0, 1, 1])  # those of the other batch
    assert "secret" not in told
    assert all("secret" not in body for body in bodies)
    left = {path.split("/")[0] for path in stored(files) if "manifest" not in path}
    assert left == {"jobs", "mattes", "uploads"}


def vars_of(row: Batch) -> dict[str, str]:
    return {column.name: str(getattr(row, column.name)) for column in Batch.__table__.columns}


def test_a_deleted_batch_leaves_no_row_in_the_end(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    client.delete(end(client, worker, submit(client, jsonl(LINE, LINE))))
    worker.sweep()
    with sessions.begin() as session:
        month = func.now() - func.make_interval(0, 0, 0, 31)
        session.execute(update(Job).values(completed_at=month))
        session.execute(update(Batch).values(completed_at=month))
    worker.sweep()
    worker.sweep()
    with sessions() as session:
        assert [session.scalar(select(func.count()).select_from(table)) for table in (Job, Batch)] == [0, 0]


def test_the_client(url: str, key: IssuedKey, worker: BatchWorker) -> None:
    with Client(url, key.token, trust_env=False) as packshot:
        batch = packshot.batches.create([LINE])
        with pytest.raises(ConflictError) as refused:
            packshot.batches.delete(batch)
        assert refused.value.code == "batch_not_ended"
        packshot.batches.cancel(batch)
        worker.work()
        assert packshot.batches.wait(batch, timeout_s=30).status == "canceled"
        packshot.batches.delete(batch)
        with pytest.raises(NotFoundError):
            packshot.batches.get(batch.id)
