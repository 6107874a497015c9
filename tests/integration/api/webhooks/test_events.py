"""Who is told of what, end to end: the API, the io worker, a receiver."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.webhooks import EventFilter
from config.settings import Settings
from db import deliveries
from db.batch_models import Batch, BatchStatus, LineSource
from db.session import Sessions
from db.webhook_models import DeliveryStatus, WebhookDelivery
from jobs import events
from jobs.event_types import ENDS, PROGRESS, lets_through
from jobs.ids import new_id
from jobs.keys import IssuedKey
from tests.integration.api.support import finish, submit
from tests.integration.api.webhooks.support import Drain, end_a_job, register, types
from tests.receivers import Received, reply
from worker import io


def test_the_filters_that_can_be_asked_for_are_the_events_there_are() -> None:
    assert set(EventFilter.__args__) == {*PROGRESS, *ENDS, "*", "job.*", "batch.*"}
    assert lets_through(["batch.*"], "batch.failed")
    assert not lets_through(["batch.*"], "job.failed")
    assert lets_through(["job.failed", "*"], "job.queued")


def test_an_endpoint_is_told_of_what_it_asked_for(client, sessions, settings, receiver, drain: Drain) -> None:
    """Progress goes to those who ask for it; each call is signed with its own endpoint's secret."""
    ends = register(client, receiver.url("/ends"))
    everything = register(client, receiver.url("/all"), events=["*"], description="all of it")
    register(client, receiver.url("/batches"), events=["batch.*"])
    submit(client)
    finish(sessions, settings)
    end_a_job(client)
    calls = drain()
    by_target = {target: [c for c in calls if c.target == target] for target in ("/ends", "/all", "/batches")}
    assert types(by_target["/ends"]) == ["job.canceled", "job.succeeded"]
    assert types(by_target["/all"]) == ["job.canceled", "job.processing", "job.queued", "job.queued", "job.succeeded"]
    assert by_target["/batches"] == []
    for target, endpoint, other in (("/ends", ends, everything), ("/all", everything, ends)):
        for call in by_target[target]:
            assert Webhook(endpoint["secret"]).verify(call.body, call.headers)["data"]["urls"]["self"]
            with pytest.raises(WebhookVerificationError):
                Webhook(other["secret"]).verify(call.body, call.headers)
    bodies = [json.loads(call.body) for call in by_target["/all"]]
    one_job = sorted((b["data"]["sequence"], b["type"]) for b in bodies if b["data"]["id"] == bodies[0]["data"]["id"])
    assert one_job[0][1] == "job.queued"
    assert all(len(call.body) < 20_000 for call in calls)


def test_a_batch_is_told_of_once(client, key: IssuedKey, sessions, receiver, drain: Drain) -> None:
    endpoint = register(client, receiver.url("/hook"), events=["batch.*"])
    batch = Batch(
        id=new_id(),
        api_key_id=key.id,
        status=BatchStatus.COMPLETED,
        source=LineSource.JSONL,
        manifest_bytes=1,
        options={},
        total=3,
        succeeded=2,
        failed=1,
        base_url="https://packshot.example",
        webhook_url=receiver.url("/own"),
        completed_at=datetime.now(UTC),
    )
    with sessions.begin() as session:
        session.add(batch)
        session.flush()
        session.refresh(batch)
        assert [events.record_batch(session, batch) for _ in range(2)] == [True, False]
    calls = {call.target: call for call in drain()}
    assert calls.keys() == {"/hook", "/own"}
    body = Webhook(endpoint["secret"]).verify(calls["/hook"].body, calls["/hook"].headers)
    assert Webhook(key.webhook_secret).verify(calls["/own"].body, calls["/own"].headers) == body
    assert body["type"] == "batch.completed"
    assert body["data"]["request_counts"] == {"total": 3, "completed": 2, "failed": 1, "canceled": 0}
    found = client.get(f"/v1/webhook-deliveries?batch_id={body['data']['id']}").json()["data"]
    assert {one["batch_id"] for one in found} == {body["data"]["id"]}


def test_an_endpoint_that_hangs_delays_no_other_on_its_host(client, settings, receiver) -> None:
    release = threading.Event()

    def hang(_: Received) -> Iterator[bytes]:
        release.wait(20)
        yield from reply(200)

    receiver.routes["/dead"] = hang
    register(client, receiver.url("/dead"))
    register(client, receiver.url("/alive"))
    for _ in range(8):
        end_a_job(client)
    res = io.build(Settings(**{**settings.model_dump(), "io_concurrency": 8}))
    thread = threading.Thread(target=io.drain, args=(res,))
    thread.start()
    deadline = time.monotonic() + 20
    while sum(call.target == "/alive" for call in receiver.received) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sum(call.target == "/dead" for call in receiver.received) <= 2
    res.stop.set()
    release.set()
    thread.join()
    res.close()


def test_every_list_of_deliveries_reads_an_index(sessions: Sessions, key: IssuedKey) -> None:
    some = new_id()
    choices = (
        deliveries.Filters(),
        deliveries.Filters(status=DeliveryStatus.PENDING),
        deliveries.Filters(endpoint_id=some),
        deliveries.Filters(event_id=some),
        deliveries.Filters(job_id=some),
        deliveries.Filters(batch_id=some),
    )
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, sql: str, given: object, *_: object) -> None:
        statements.append((sql, given))

    with sessions() as session:
        session.execute(text("SET enable_seqscan = off"))  # there are no rows to make the planner shy away from it
        event.listen(session.get_bind(), "before_cursor_execute", note)
        for filters in choices:
            deliveries.page(session, api_key_id=key.id, filters=filters, limit=20, after=some, before=None)
        event.remove(session.get_bind(), "before_cursor_execute", note)
        for sql, given in statements:
            plan = session.connection().exec_driver_sql(f"EXPLAIN {sql}", given).scalars().all()
            assert not any("Seq Scan" in line for line in plan), plan
    assert len(statements) == len(choices)


def test_nobody_asks_nothing_is_kept(client, sessions, settings) -> None:
    """Without an endpoint that asks, a job on its way leaves no event."""
    register(client, "https://hooks.example/ends")
    submit(client)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    finish(sessions, settings)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 1


def test_large_labels_do_not_make_a_large_body(client, receiver, drain: Drain) -> None:
    register(client, receiver.url("/hook"))
    labels = {f"label {number}": "🏺" * 512 for number in range(16)}
    job = submit(client, labels=json.dumps(labels, ensure_ascii=False))
    client.post(job["urls"]["cancel"])
    [call] = drain()
    assert len(call.body) < 20_000
    data = json.loads(call.body)["data"]
    assert (data["labels"], data["labels_omitted"]) == ({}, True)
    assert client.get(job["urls"]["self"]).json()["labels"] == labels
