"""Server-Sent Events of a batch: its status and counts until its end; nothing of it for another key."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from config.settings import Settings
from db.base import JobStatus
from db.batch_models import Batch
from db.models import Job
from db.session import Sessions
from tests.batches import batch_worker, jsonl, submit
from tests.integration.api.test_waiting import events_in, meanwhile


def test_events_of_a_batch(
    app: FastAPI, client: TestClient, stranger: TestClient, sessions: Sessions, settings: Settings
) -> None:
    batch = submit(client, jsonl({"custom_id": "a", "image_url": "https://shop.example/photos/mug.jpg"}))
    url = batch["urls"]["events"]
    with batch_worker(settings) as worker, meanwhile(app, lambda: client.get(url)) as future:
        worker.work()
        with sessions.begin() as session:
            assert session.scalars(select(Batch.total)).one() == 1
            session.execute(update(Job).values(status=JobStatus.CANCELED, completed_at=func.now(), due_at=None))
        with sessions.begin() as session:
            session.execute(update(Batch).values(canceled=1, status="completed", completed_at=func.now(), due_at=None))
    names, ids = zip(*events_in(future.result().text), strict=True)
    assert names[0] == "batch.validating"
    assert names[-1] == "batch.completed"
    assert '"canceled":1' in future.result().text
    assert client.get(url, headers={"Last-Event-ID": ids[-1]}).status_code == 204
    for page in (url, "/v1/batches/batch_x/events"):
        assert stranger.get(page).status_code == 404
