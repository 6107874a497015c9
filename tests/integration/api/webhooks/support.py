"""What tests of webhooks do again and again."""

import json
from collections.abc import Callable

from fastapi.testclient import TestClient
from sqlalchemy import func, update

from db.session import Sessions
from db.webhook_models import WebhookDelivery
from tests.integration.api.support import submit
from tests.receivers import Received

Drain = Callable[[], list[Received]]


def register(client: TestClient, url: str | None, **fields: object) -> dict:
    made = client.post("/v1/webhook-endpoints", json={"url": url, **fields})
    assert made.status_code == 201, made.text
    return made.json()


def types(calls: list[Received]) -> list[str]:
    return sorted(json.loads(call.body)["type"] for call in calls)


def make_due(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(due_at=func.now()))


def end_a_job(client: TestClient) -> str:
    job = submit(client)
    assert client.post(job["urls"]["cancel"]).status_code == 200
    return job["id"]


def page(endpoint: dict, tail: str = "") -> str:
    return f"/v1/webhook-endpoints/{endpoint['id']}{tail}"
