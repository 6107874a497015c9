"""Batches that are too large: for the service, for a line, for what their key may have under way."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from api.app import create_app
from config.settings import Settings
from db.batch_models import Batch
from db.key_models import ApiKey
from db.models import Job
from db.session import Sessions
from jobs import batch_work
from jobs.keys import IssuedKey
from jobs.manifest import MAX_LINE_BYTES
from jobs.models import Models
from tests.batches import BatchWorker, batch_worker, jsonl, post, submit
from tests.integration.api.conftest import SPEC, open_client
from worker import batch as stretch

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


def test_batches_side_by_side_keep_to_the_depth(
    client: TestClient, sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that have been let in most lines are no jobs yet: they count for the next."""
    monkeypatch.setattr(stretch, "_CHUNK_LINES", 2)
    monkeypatch.setattr(stretch, "_STRETCH_S", 0.0)  # one chunk at a time
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(queue_depth=10))
    batches = [submit(client, jsonl(*[LINE] * 4)) for _ in range(3)]
    with batch_worker(settings) as worker:
        while worker.lane.fill() or worker.lane.running():
            for future in worker.lane.running():
                future.result()
            assert count_jobs(sessions) <= 10
    outcomes = sorted(outcome(client, batch) for batch in batches)
    assert outcomes == [("failed", "queue_full"), ("in_progress", None), ("in_progress", None)]
    assert count_jobs(sessions) == 8


def test_two_batches_are_let_in_one_after_the_other(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    """Two workers come to the door at one moment."""
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(queue_depth=3))
    batches = [submit(client, jsonl(LINE, LINE)) for _ in range(4)]
    with sessions.begin() as session:
        session.execute(update(Batch).values(lines=2, cursor_line=2))
    at_the_door = threading.Barrier(4)

    def start(batch: Batch) -> None:
        at_the_door.wait()
        with sessions.begin() as session:
            batch_work.start(session, batch, terms)

    with batch_worker(settings) as worker, sessions.begin() as session:
        terms = worker.batching.terms
        claimed = batch_work.claim(session, limit=4, lease_s=60)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, claimed))
    outcomes = sorted(outcome(client, batch) for batch in batches)
    assert outcomes == [*[("failed", "queue_full")] * 3, ("in_progress", None)]


def test_a_look_ahead_counts_the_queue_too(client: TestClient, worker: BatchWorker, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(ApiKey).values(queue_depth=2))
    fits = post(client, jsonl(LINE, LINE), validate_only="true").json()
    assert (fits["would_run"], fits["error"]) == (True, None)
    submit(client, jsonl(LINE))
    worker.work()
    full = post(client, jsonl(LINE, LINE), validate_only="true").json()
    assert (full["would_run"], full["error"]["code"], full["valid"]) == (False, "queue_full", 2)
    bad = post(client, jsonl(LINE, {}), validate_only="true").json()
    assert (bad["would_run"], bad["error"]["code"]) == (False, "invalid_lines")


def test_lines_on_their_way_count_for_single_photos(
    client: TestClient, sessions: Sessions, settings: Settings, key: IssuedKey
) -> None:
    submit(client, jsonl(LINE, LINE, LINE))
    with sessions.begin() as session:
        session.execute(update(Batch).values(status="in_progress", total=3, made=1))
        session.execute(update(ApiKey).values(queue_depth=2))
    with open_client(create_app(settings, models=Models((SPEC,))), key.token) as other_process:
        reply = other_process.post("/v1/jobs", json=LINE)
    assert (reply.status_code, reply.json()["code"]) == (429, "queue_full")
