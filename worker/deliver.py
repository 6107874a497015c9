"""One delivery: one signed POST, and what came back, on record."""

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from config.tracing import Kind, Silent, Tracing, attributes_of, headers_of
from db.session import Sessions
from jobs import deliveries
from jobs.deliveries import ClaimedDelivery
from jobs.egress import EgressRefusedError
from jobs.webhooks import Attempt, Judgement, classify, signed_headers
from worker.http import Answer, CallError, Deadline, HttpClient, retry_after_s
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

_EXCERPT_BYTES = 2048  # of a failure's body, for whoever runs the service


@dataclass(frozen=True)
class Delivering:
    """What a delivery needs."""

    sessions: Sessions
    client: HttpClient
    timeout_s: float
    disable_after: timedelta  # an endpoint that fails for longer
    tracing: Tracing = field(default_factory=Silent)
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)


def run(needs: Delivering, delivery: ClaimedDelivery) -> None:
    """Send a claimed delivery and settle it. Never in a transaction meanwhile."""
    with needs.tracing.start(
        f"webhook {delivery.event_type}",
        parent=delivery.traceparent,
        kind=Kind.CLIENT,
        attributes={**attributes_of(delivery.about), "http.request.method": "POST", "server.address": delivery.host},
    ) as span:
        attempt = post(needs.client, delivery, timeout_s=needs.timeout_s, traceparent=span.traceparent)
        if attempt.http_status is not None:
            span.note({"http.response.status_code": attempt.http_status})
        if classify(attempt.http_status) is not Judgement.DELIVERED:
            span.fail(str(attempt.http_status or "call_failed"))
    needs.metrics.called(classify(attempt.http_status).name.lower(), attempt.took_ms / 1000)
    with needs.sessions.begin() as session:
        settled = deliveries.settle(session, delivery, attempt, rng=random.Random(), disable_after=needs.disable_after)
    log.info(
        "webhook_sent",
        http_status=attempt.http_status,
        error=attempt.error,
        took_ms=attempt.took_ms,
        settled=settled,
    )


def post(client: HttpClient, delivery: ClaimedDelivery, *, timeout_s: float, traceparent: str | None = None) -> Attempt:
    """ONE POST: no redirects, one deadline, little of the answer read. No database."""
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Packshot",
        **signed_headers(delivery.secrets, event_id=delivery.event_id, now=now, body=delivery.body),
        **headers_of(traceparent),
    }
    started = time.monotonic()
    status: int | None = None
    error: str | None = None
    excerpt: str | None = None
    asked_s = 0.0
    try:
        with client.call(
            "POST", delivery.url, deadline=Deadline(timeout_s), headers=headers, content=delivery.body
        ) as answer:
            status = answer.status
            asked_s = retry_after_s(answer, now=now)
            # A receiver that has said 2xx has the event, whatever becomes of the rest of its answer.
            excerpt = None if classify(status) is Judgement.DELIVERED else _excerpt(answer)
    except (CallError, EgressRefusedError) as failure:
        error = str(failure)
    return Attempt(status, error, excerpt, round((time.monotonic() - started) * 1000), asked_s)


def _excerpt(answer: Answer) -> str:
    """The start of the body as text that PostgreSQL takes."""
    start = bytearray()
    for chunk in answer.body:
        start += chunk
        if len(start) >= _EXCERPT_BYTES:
            break
    return start[:_EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
