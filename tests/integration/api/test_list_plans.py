"""Every filter of every list reads an index: what the document describes is asked, and its statements explained."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text

from db.session import Sessions
from jobs.ids import BATCH_PREFIX, ENDPOINT_PREFIX, EVENT_PREFIX, job_public_id, new_id
from jobs.keys import Scope
from tests.batches import jsonl, submit
from tests.factories import make_key
from tests.integration.api.conftest import open_client

CURSORS = ("starting_after", "ending_before")
VALUES = {
    "created_after": "2026-11-24T00:00:00Z",
    "created_before": "2026-11-24T00:00:00Z",
    "label": "sku:MUG-1",
    "sku": "MUG-1",
    "model": "unet-fast@1",
    "verdict": "review",
    "custom_id": "SKU-1",
    "batch_id": BATCH_PREFIX + new_id().hex,
    "endpoint_id": ENDPOINT_PREFIX + new_id().hex,
    "event_id": EVENT_PREFIX + new_id().hex,
    "job_id": job_public_id(new_id()),
}
STATUSES = {
    "/v1/jobs": "failed",
    "/v1/batches": "in_progress",
    "/v1/batches/{batch_id}/items": "failed",
    "/v1/webhook-deliveries": "pending",
}


def lists(document: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Path and filters of each route whose reply is a page."""
    for path, methods in document["paths"].items():
        reply = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        name = reply.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        if "has_more" in document["components"]["schemas"].get(name, {}).get("properties", {}):
            given = [value["name"] for value in methods["get"]["parameters"] if value["in"] == "query"]
            yield path, [name for name in given if name not in {"limit", *CURSORS}]


@pytest.fixture
def admin(app: FastAPI, sessions: Sessions) -> Iterator[TestClient]:
    with sessions.begin() as session:
        key = make_key(session, "admin", set(Scope))
    with open_client(app, key.token) as client:
        yield client


def pages_of(client: TestClient, path: str, **query: str) -> list[tuple[str, Any]]:
    """The statements that a list runs to find its entries."""
    found: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, sql: str, given: object, *_: object) -> None:
        if " LIMIT " in sql and "ORDER BY" in sql:
            found.append((sql, given))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        reply = client.get(path, params=query)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert reply.status_code == 200, reply.text
    return found


def test_every_filter_of_every_list_reads_an_index(app: FastAPI, admin: TestClient, sessions: Sessions) -> None:
    batch_id = submit(admin, jsonl({"image_url": "https://shop.example/mug.jpg"}))["id"]
    asked = []
    for path, filters in lists(app.openapi()):
        url = path.replace("{batch_id}", batch_id)
        choices = [{}, *({name: STATUSES[path] if name == "status" else VALUES[name]} for name in filters)]
        asked += [(url, query, page) for query in choices for page in pages_of(admin, url, **query)]
    assert {url.replace(batch_id, "{batch_id}") for url, _, _ in asked} >= STATUSES.keys() | {
        "/v1/webhook-endpoints",
        "/v1/keys",
    }
    with sessions() as session:
        # Without rows to speak of the planner would read tables whole; what is left of that has no index at all.
        session.execute(text("SET enable_seqscan = off"))
        for url, query, (sql, given) in asked:
            plan = session.connection().exec_driver_sql(f"EXPLAIN {sql}", given).scalars().all()
            where = f"{url} {query}: {plan}"
            assert not any("Seq Scan" in line for line in plan), where
            # The keys are one list of all; the others find their owner's, or their batch's, entries.
            assert url == "/v1/keys" or any("Index Cond" in line for line in plan), where
