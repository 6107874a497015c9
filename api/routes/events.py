"""Server-Sent Events: follow a job or a batch without polling."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.auth import Reader
from api.batch_views import batch_object
from api.context import InContext
from api.events import EVENTS_RESPONSE, LastEventId, Seen, follow
from api.openapi import problems
from api.routes.batches import BatchId
from api.routes.jobs import JobId
from api.views import job_object
from jobs.watching import batch_topic, job_topic, look_at_batch, look_at_job

router = APIRouter(tags=["events"])


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses=EVENTS_RESPONSE | problems(401, 403, 404, 503),
    summary="Follow a job",
)
async def follow_job(
    request: Request, context: InContext, caller: Reader, job_id: JobId, last_event_id: LastEventId = None
) -> Response:
    """Server-Sent Events `job.queued`, `job.processing`, `job.succeeded` and so on, each with the whole job.

    The first tells how the job stands now, the last its end; then the stream ends. It tells of states, not of every
    step: two changes in one moment are one event. Comments come when nothing happens for 15 seconds. A stream ends
    after 15 minutes in any case; clients reconnect with `Last-Event-ID`, as browsers do by themselves.
    """
    topic = job_topic(job_id)
    base_url = context.base_url(request)

    def look() -> Seen:
        with context.sessions.begin() as session:
            job, found = look_at_job(session, topic, api_key_id=caller)
        shown = job_object(job, base_url=base_url)
        return Seen(f"job.{shown.status.value}", shown.model_dump_json(), found.signature, found.is_final)

    return await follow(context.watcher, topic, look=look, last_event_id=last_event_id)


@router.get(
    "/v1/batches/{batch_id}/events",
    response_class=StreamingResponse,
    responses=EVENTS_RESPONSE | problems(401, 403, 404, 503),
    summary="Follow a batch",
)
async def follow_batch(
    request: Request, context: InContext, caller: Reader, batch_id: BatchId, last_event_id: LastEventId = None
) -> Response:
    """Server-Sent Events `batch.validating`, `batch.in_progress`, `batch.completed` and so on, each with the batch.

    One comes when the status or the counts change; its jobs are counted every few seconds. Otherwise as for a job.
    """
    topic = batch_topic(batch_id)
    base_url = context.base_url(request)

    def look() -> Seen:
        with context.sessions.begin() as session:
            batch, bad_lines, found = look_at_batch(session, topic, api_key_id=caller)
        shown = batch_object(batch, base_url=base_url, bad_lines=bad_lines)
        return Seen(f"batch.{shown.status.value}", shown.model_dump_json(), found.signature, found.is_final)

    return await follow(context.watcher, topic, look=look, last_event_id=last_event_id)
