"""Priority, deadlines and retention: of a batch, and of lines that say otherwise."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from db.batch_models import Batch
from db.key_models import ApiKey
from db.models import Fetch, Job
from db.session import Sessions
from db.webhook_models import WebhookEvent
from tests.batches import BatchWorker, jsonl, post, submit, zipped
from tests.integration.api.support import photo

LINE = {"image_url": "https://shop.example/photos/mug.jpg"}


def read(client: TestClient, batch: dict[str, Any]) -> dict[str, Any]:
    return client.get(f"/v1/batches/{batch['id']}").json()


def items(client: TestClient, batch: dict[str, Any]) -> list[dict[str, Any]]:
    return client.get(f"/v1/batches/{batch['id']}/items").json()["data"]


def at(shown: str) -> datetime:
    return datetime.fromisoformat(shown)


def bad_lines(report: dict[str, Any]) -> list[tuple[int, list[tuple[str, str]]]]:
    return [(line["line"], [(e["pointer"], e["code"]) for e in line["errors"]]) for line in report["errors"]]


def test_lines_say_otherwise(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    manifest = (
        b"image_url,priority,retention,expires_in\n"
        b"https://shop.example/1.jpg,,,\n"
        b"https://shop.example/2.jpg,interactive,90,15m\n"
    )
    batch = submit(client, manifest, "m.csv", priority="normal", retention="1h", expires_in="2d")
    assert at(batch["deadline_at"]) - at(batch["created_at"]) < timedelta(days=2, seconds=1)
    assert batch["options"] == {"priority": "normal", "retention": "1h"}
    worker.work()
    plain, own = items(client, batch)
    assert (plain["priority"], plain["deadline"], own["priority"]) == ("normal", None, "interactive")
    assert at(own["deadline"]) - at(batch["created_at"]) == timedelta(minutes=15)
    with sessions() as session:
        kept = session.scalars(select(Job.retention).order_by(Job.line)).all()
        lanes = session.scalars(select(Fetch.priority).join(Job, Job.id == Fetch.job_id).order_by(Job.line)).all()
    assert (kept, lanes) == ([timedelta(hours=1), timedelta(seconds=90)], [1, 0])


def test_a_zip_takes_what_its_form_says(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(files_retention=timedelta(days=2)))
    quiet = submit(client, zipped({"a.jpg": photo()}), "photos.zip")
    asked = submit(client, zipped({"a.jpg": photo()}), "photos.zip", priority="interactive", retention="1d")
    worker.work()
    worker.work()
    assert [job["priority"] for batch in (quiet, asked) for job in items(client, batch)] == ["bulk", "interactive"]
    with sessions() as session:
        kept = session.scalars(select(Job.retention).order_by(Job.id)).all()
    assert sorted(kept) == [timedelta(days=1), timedelta(days=2)]


def test_bad_ones_are_named_by_line(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(files_retention=timedelta(days=2)))
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    manifest = jsonl(
        {**LINE, "priority": "urgent"},
        {**LINE, "deadline": past},
        {**LINE, "expires_in": "soon", "retention": "3d"},
        {**LINE, "dedupe": "reuse"},
        {**LINE, "expires_in": 60, "deadline": past, "priority": 1},
        LINE,
    )
    found = [
        (1, [("/priority", "invalid_option")]),
        (2, [("/deadline", "invalid_deadline")]),
        (3, [("/expires_in", "invalid_deadline"), ("/retention", "invalid_retention")]),
        (4, [("/dedupe", "unknown_field")]),
        (5, [("/priority", "invalid_option")]),
    ]
    plan = post(client, manifest, validate_only="true").json()
    batch = submit(client, manifest, skip_invalid="true")
    worker.work()
    judged = read(client, batch)["validation"]
    for report in (plan, judged):
        assert [
            (line, [error for error in errors if error in dict(found)[line]]) for line, errors in bad_lines(report)
        ] == found
    assert [job["line"] for job in items(client, batch)] == [6]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("priority", "urgent", "invalid_option"),
        ("expires_in", "31d", "invalid_deadline"),
        ("deadline", "2020-01-01T00:00:00Z", "invalid_deadline"),
        ("retention", "30s", "invalid_retention"),
        ("retention", "400d", "invalid_retention"),
        ("dedupe", "reuse", "unknown_field"),
    ],
)
def test_a_bad_form_makes_no_batch(client: TestClient, field: str, value: str, code: str) -> None:
    reply = post(client, jsonl(LINE), **{field: value})
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert [error["pointer"] for error in reply.json()["errors"]] == [f"/{field}"]
    assert client.get("/v1/batches").json()["data"] == []


def test_the_header_is_a_field_like_the_others(client: TestClient) -> None:
    def send(**fields: str) -> Any:
        headers = {"Cancel-After": "1m"}
        return client.post("/v1/batches", files={"file": ("m", jsonl(LINE))}, data=fields, headers=headers)

    batch = send().json()
    assert timedelta(seconds=55) < at(batch["deadline_at"]) - at(batch["created_at"]) <= timedelta(seconds=60)
    assert send(expires_in="2m").json()["code"] == "invalid_deadline"


def test_a_line_keeps_its_time_whenever_it_is_read(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    """From the batch's creation on: a worker that comes late makes a job that has expired."""
    batch = submit(client, jsonl({**LINE, "expires_in": "1h"}, LINE))
    with sessions.begin() as session:
        session.execute(update(Batch).values(created_at=func.now() - timedelta(hours=2)))
    worker.work()
    worker.sweep()
    assert [job["status"] for job in items(client, batch)] == ["expired", "queued"]


def test_a_further_run_has_times_of_its_own(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    lines = {**LINE, "deadline": soon}, {**LINE, "expires_in": "1h", "priority": "interactive"}
    batch = submit(client, jsonl(*lines), priority="normal", expires_in="1d")
    worker.work()
    client.post(f"/v1/batches/{batch['id']}/cancel")
    worker.work()
    with sessions.begin() as session:  # the first line's time has passed meanwhile
        session.execute(update(Batch).values(created_at=func.now() - timedelta(hours=2)))
    url = f"/v1/batches/{batch['id']}/retry"
    again = client.post(url, json={"only": "all"}).json()
    worker.work()
    first, second = items(client, again)
    assert (again["deadline_at"], first["deadline"], first["priority"]) == (None, None, "normal")
    assert (at(second["deadline"]) - at(again["created_at"]), second["priority"]) == (timedelta(hours=1), "interactive")
    hurried = client.post(url, json={"only": "all", "priority": "bulk", "expires_in": 60}).json()
    worker.work()
    assert [job["priority"] for job in items(client, hurried)] == ["bulk", "bulk"]
    assert at(hurried["deadline_at"]) - at(hurried["created_at"]) <= timedelta(seconds=60)
    assert client.post(url, json={"retention": "400d"}).json()["code"] == "invalid_retention"


@pytest.mark.parametrize("stage", ["validating", "in_progress"])
def test_a_batch_expires_with_its_event(
    client: TestClient, worker: BatchWorker, sessions: Sessions, stage: str
) -> None:
    """Whether its lines are jobs already or still to be read."""
    batch = submit(client, jsonl(LINE, LINE), expires_in="1h", webhook_url="https://shop.example/hook")
    if stage == "in_progress":
        worker.work()
    assert read(client, batch)["status"] == stage
    with sessions.begin() as session:  # an hour later
        session.execute(update(Batch).values(deadline_at=func.now()))
    worker.sweep()
    worker.work()
    ended = read(client, batch)
    lines = 2 if stage == "in_progress" else 0
    assert (ended["status"], ended["request_counts"]["failed"], len(items(client, batch))) == ("expired", lines, lines)
    with sessions() as session:
        [event] = session.scalars(select(WebhookEvent)).all()
    assert (event.type, json.loads(event.body)["data"]["status"]) == ("batch.expired", "expired")
