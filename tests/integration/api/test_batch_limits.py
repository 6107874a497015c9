"""Batches that are too large: for the service, for a line, for what their key may have under way."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from config.settings import Settings
from db.key_models import ApiKey
from db.models import Job
from db.session import Sessions
from jobs.manifest import MAX_LINE_BYTES
from tests.batches import BatchWorker, batch_worker, jsonl, submit

LINE = {"image_url": "https://shop.example/photos/mug.jpg"}


@pytest.fixture
def worker(settings: Settings) -> Iterator[BatchWorker]:
    with batch_worker(Settings(**{**settings.model_dump(), "batch_max_items": 3})) as worker:
        yield worker


def outcome(client: TestClient, batch: dict) -> tuple[str, str | None]:
    seen = client.get(f"/v1/batches/{batch['id']}").json()
    return seen["status"], seen["error"] and seen["error"]["code"]


def bad_lines(client: TestClient, batch: dict) -> list[tuple[int, list[str]]]:
    shown = client.get(f"/v1/batches/{batch['id']}").json()["validation"]["errors"]
    return [(line["line"], [error["code"] for error in line["errors"]]) for line in shown]


def count_jobs(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalars(select(func.count()).select_from(Job)).one()


def test_too_many_lines(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    batch = submit(client, jsonl(*[LINE] * 6))
    worker.work()
    assert outcome(client, batch) == ("failed", "invalid_lines")
    assert bad_lines(client, batch) == [(4, ["too_many_items"])]  # what is behind it is not read
    assert count_jobs(sessions) == 0


def test_a_line_that_is_too_long(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    long = jsonl({**LINE, "labels": {"note": "x" * MAX_LINE_BYTES}})
    batch = submit(client, jsonl(LINE) + long + jsonl(LINE))
    worker.work()
    assert outcome(client, batch) == ("failed", "invalid_lines")
    assert bad_lines(client, batch) == [(2, ["line_too_long"])]
    assert count_jobs(sessions) == 0


def test_more_jobs_than_the_key_may_have(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(queue_depth=3))
    first = submit(client, jsonl(LINE, LINE))
    worker.work()
    assert outcome(client, first) == ("in_progress", None)
    second = submit(client, jsonl(LINE, LINE))
    worker.work()
    assert outcome(client, second) == ("failed", "queue_full")
    assert count_jobs(sessions) == 2
    third = submit(client, jsonl(LINE))  # as many as there is room for
    worker.work()
    assert outcome(client, third) == ("in_progress", None)
    assert count_jobs(sessions) == 3


def test_a_custom_id_that_is_none(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    batch = submit(client, jsonl({**LINE, "custom_id": ""}, {**LINE, "custom_id": 7}, {**LINE, "custom_id": "ok"}))
    worker.work()
    assert outcome(client, batch) == ("failed", "invalid_lines")
    assert bad_lines(client, batch) == [(1, ["invalid_custom_id"]), (2, ["invalid_custom_id"])]
    assert count_jobs(sessions) == 0
