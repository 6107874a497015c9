"""What happened to a job, as a row with a frozen body, and its way to the caller's URL."""

import json
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from db.models import Job, WebhookDelivery, WebhookEvent
from jobs.ids import EVENT_PREFIX, job_public_id, new_id


def record(session: Session, job: Job) -> None:
    """Add the event of the job's final status, and its delivery where the job has a webhook; one commit with it.

    The body is thin (Standard Webhooks asks for under 20 kB): the receiver reads the rest at `urls.self`. A quiet job
    has no event: its batch has one.
    """
    if job.is_quiet:
        return
    at = job.completed_at or datetime.now(UTC)
    event = WebhookEvent(id=new_id(), job_id=job.id, type=f"job.{job.status.value}", body="")
    event.body = json.dumps(_body(job, event, at), separators=(",", ":"), ensure_ascii=False)
    session.add(event)
    if job.webhook_url:
        # The event first: no relationship tells the unit of work which of two new rows to write first.
        session.flush()
        session.add(WebhookDelivery(id=new_id(), event_id=event.id, api_key_id=job.api_key_id, url=job.webhook_url))
    session.flush()


def _body(job: Job, event: WebhookEvent, at: datetime) -> dict[str, object]:
    public_id = job_public_id(job.id)
    error = {"code": job.error_code, "detail": job.error_detail} if job.error_code else None
    return {
        "type": event.type,
        "timestamp": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "event_id": EVENT_PREFIX + event.id.hex,
            "id": public_id,
            "status": job.status.value,
            "verdict": job.verdict.value if job.verdict else None,
            "reasons": job.reasons,
            "error": error,
            "labels": job.labels,
            "urls": {"self": f"{job.base_url}/v1/jobs/{public_id}"},
        },
    }
