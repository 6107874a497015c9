"""What happened to a job or a batch, as a row with a frozen body, and its way to all who want to be told.

An event is one commit with what it tells of. Its deliveries go to the URL that the job or batch named, and to each
registered endpoint of the key whose filter lets it through.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from db import deliveries
from db import webhooks as rows
from db.batch_models import Batch
from db.models import Job
from db.webhook_models import DeliveryStatus, WebhookEndpoint
from jobs.event_types import PING, PROCESSING, PROGRESS, QUEUED, lets_through
from jobs.ids import BATCH_PREFIX, EVENT_PREFIX, job_public_id, new_id

MAX_BODY_BYTES = 20_000
"""Standard Webhooks asks for bodies under 20 kB; the receiver reads the rest at `urls.self`."""


@dataclass(frozen=True)
class _Event:
    """What an event is made of; `data` without the event's own id and number."""

    api_key_id: UUID
    type: str
    at: datetime
    data: dict[str, Any]
    job_id: UUID | None = None
    batch_id: UUID | None = None
    url: str | None = None  # told besides the endpoints
    traceparent: str | None = None


def record(session: Session, job: Job) -> bool:
    """Add the event of the job's final status, one commit with it. Whether anybody is to be told: then ring.

    Of a quiet job nobody is told, and no event is kept.
    """
    return not job.is_quiet and _add(session, [_of_job(job, f"job.{job.status.value}")])


def record_batch(session: Session, batch: Batch) -> bool:
    """Add the event of a batch's final status, one commit with it. Whether anybody is to be told: then ring."""
    public_id = BATCH_PREFIX + batch.id.hex
    event = _Event(
        api_key_id=batch.api_key_id,
        type=f"batch.{batch.status.value}",
        at=batch.completed_at or datetime.now(UTC),
        batch_id=batch.id,
        url=batch.webhook_url,
        traceparent=batch.traceparent,
        data={
            "id": public_id,
            "status": batch.status.value,
            "request_counts": {
                "total": batch.total,
                "completed": batch.succeeded,
                "failed": batch.failed,
                "canceled": batch.canceled,
            },
            "error": _error(batch.error_code, batch.error_detail),
            "labels": batch.labels,
            "urls": {"self": f"{batch.base_url}/v1/batches/{public_id}"},
        },
    )
    return _add(session, [event])


def record_queued(session: Session, jobs: Sequence[Job]) -> None:
    """Tell those endpoints that asked for it that jobs were queued."""
    _record_progress(session, jobs, QUEUED)


def record_processing(session: Session, jobs: Sequence[Job]) -> set[UUID]:
    """Tell those endpoints that asked for it that work on jobs began, at the first claim only.

    Returns the keys that have any endpoint, which will be told of the jobs' ends.
    """
    return {endpoint.api_key_id for endpoint in _record_progress(session, jobs, PROCESSING)}


def record_ping(session: Session, endpoint: WebhookEndpoint, *, public_id: str, at: datetime) -> UUID:
    """A test event for one endpoint, whatever its filter; returns the delivery's id."""
    event = _Event(api_key_id=endpoint.api_key_id, type=PING, at=at, data={"endpoint_id": public_id})
    [row] = _event_rows(session, [event])
    rows.add_events(session, [row])
    delivery = _delivery(row, endpoint=endpoint)
    deliveries.add(session, [delivery])
    delivery_id: UUID = delivery["id"]
    return delivery_id


def _record_progress(session: Session, jobs: Sequence[Job], event_type: str) -> Sequence[WebhookEndpoint]:
    """One look at the endpoints for all the jobs, which it returns; where none asks for the event, that was all."""
    heard = [job for job in jobs if not job.is_quiet]
    listening = rows.listening(session, {job.api_key_id for job in heard}) if heard else []
    keys = {endpoint.api_key_id for endpoint in listening if lets_through(endpoint.events, event_type)}
    events = [_of_job(job, event_type) for job in heard if job.api_key_id in keys]
    if events:
        _add(session, events, listening)
    return listening


def _of_job(job: Job, event_type: str) -> _Event:
    public_id = job_public_id(job.id)
    is_end = event_type not in PROGRESS
    at = job.completed_at if is_end else job.created_at if event_type == QUEUED else job.started_at
    return _Event(
        api_key_id=job.api_key_id,
        type=event_type,
        at=at or datetime.now(UTC),
        job_id=job.id,
        url=job.webhook_url if is_end else None,
        traceparent=job.traceparent,
        data={
            "id": public_id,
            "status": event_type.removeprefix("job."),
            "verdict": job.verdict.value if job.verdict else None,
            "reasons": job.reasons,
            "error": _error(job.error_code, job.error_detail),
            "batch_id": BATCH_PREFIX + job.batch_id.hex if job.batch_id else None,
            "labels": job.labels,
            "urls": {"self": f"{job.base_url}/v1/jobs/{public_id}"},
        },
    )


def _error(code: str | None, detail: str | None) -> dict[str, str | None] | None:
    return None if code is None else {"code": code, "detail": detail}


def _add(session: Session, events: Sequence[_Event], listening: Sequence[WebhookEndpoint] | None = None) -> bool:
    """Events and their deliveries; whether there are any deliveries. `listening` where it was looked up already."""
    if listening is None:
        listening = rows.listening(session, {event.api_key_id for event in events})
    event_rows = _event_rows(session, events)
    added = rows.add_events(session, event_rows)
    made = []
    for event, row in zip(events, event_rows, strict=True):
        if row["id"] not in added:
            continue
        if event.url:
            made.append(_delivery(row, url=event.url))
        made += [
            _delivery(row, endpoint=endpoint)
            for endpoint in listening
            if endpoint.api_key_id == event.api_key_id and lets_through(endpoint.events, event.type)
        ]
    deliveries.add(session, made)
    return bool(made)


def _event_rows(session: Session, events: Sequence[_Event]) -> list[dict[str, Any]]:
    sequences = rows.next_sequences(session, len(events))
    return [_event_row(event, sequence) for event, sequence in zip(events, sequences, strict=True)]


def _event_row(event: _Event, sequence: int) -> dict[str, Any]:
    event_id = new_id()
    data = {"event_id": EVENT_PREFIX + event_id.hex, "sequence": sequence, **event.data}
    body = {"type": event.type, "timestamp": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"), "data": data}
    text = _json(body)
    if len(text.encode()) >= MAX_BODY_BYTES:  # labels alone can be larger than that
        text = _json({**body, "data": {**data, "labels": {}, "labels_omitted": True}})
    return {
        "id": event_id,
        "sequence": sequence,
        "api_key_id": event.api_key_id,
        "job_id": event.job_id,
        "batch_id": event.batch_id,
        "type": event.type,
        "body": text,
        "traceparent": event.traceparent,
    }


def _delivery(
    event_row: Mapping[str, Any], *, url: str | None = None, endpoint: WebhookEndpoint | None = None
) -> dict[str, Any]:
    is_pulled = endpoint is not None and endpoint.url is None
    return {
        "id": new_id(),
        "event_id": event_row["id"],
        "api_key_id": event_row["api_key_id"],
        "endpoint_id": endpoint.id if endpoint else None,
        "url": url,
        "status": DeliveryStatus.HELD if is_pulled else DeliveryStatus.PENDING,
    }


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)
