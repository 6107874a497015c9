"""Submit, read, list, cancel and run again batches."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth import Authenticated, Reader, Writer
from api.batch_intake import BATCH_FIELD, BatchFlags, accept_batch, look_ahead, parse_batch
from api.batch_retry import BatchRetry, accept_retry
from api.batch_schemas import BatchList, BatchObject, BatchPlan, ItemList
from api.batch_views import POLL_S, batch_object
from api.bodies import has_body
from api.context import InContext
from api.idempotency import Answer, IdempotencyKey, make_ticket
from api.json_schema import schema_of
from api.openapi import problems
from api.paging import EndingBefore, Limit, StartingAfter, set_links
from api.submission import CancelAfter, put_cancel_after
from api.uploads import Form, read_form, read_json
from api.views import job_object
from db.base import JobStatus
from db.batch_models import BatchStatus
from dispatch.names import Bell
from jobs import batches
from jobs.fields import JobCreate
from jobs.ids import job_public_id
from jobs.schedule import ScheduleFields

router = APIRouter(prefix="/v1/batches", tags=["batches"])

BatchId = Annotated[str, Path(description="A batch's id.", examples=["batch_0199c0ffee007000800000000000cafe"])]


def _options() -> dict[str, Any]:
    """Fields of a job, but for its photo; a deadline is the batch's."""
    fields: dict[str, Any] = schema_of(JobCreate)["properties"] | schema_of(ScheduleFields)["properties"]
    del fields["image_url"]
    described = {
        "priority": "Lane of its jobs among the key's own photos: `interactive`, `normal` or `bulk` (default).",
        "expires_in": "The batch expires, with every job that has not ended, after this time: seconds, or `90s`, "
        "`15m`, `24h`, `7d`. The header `Cancel-After` says the same. Lines may have a time of their own.",
        "deadline": "The same as a time (RFC 3339, with its zone).",
        "retention": "How long the files of each job stay after it has ended: as the key's retention, or shorter.",
    }
    return fields | {name: {**fields[name], "description": text} for name, text in described.items()}


def _submit_body() -> dict[str, Any]:
    file = {
        "type": "string",
        "format": "binary",
        "description": "A manifest, JSON Lines or CSV: `custom_id`, `image_url` or `upload_id`, and any of the options "
        "of a job in each line. Or a ZIP of photos.",
    }
    labels = {"type": "string", "description": "Labels of the batch, as a JSON object."}
    flags = BatchFlags.model_json_schema()["properties"]
    properties = {BATCH_FIELD: file, **flags, **_options(), "labels": labels}
    schema = {"title": "BatchForm", "type": "object", "required": [BATCH_FIELD], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _retry_body() -> dict[str, Any]:
    schema = BatchRetry.model_json_schema()
    schema["properties"] = {**schema["properties"], **_options()}
    schema["properties"]["only"] = {
        "type": "string",
        "enum": ["failed", "unfinished", "all"],
        "default": "failed",
        "description": BatchRetry.model_fields["only"].description,
    }
    schema.pop("$defs", None)
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "",
    status_code=202,
    response_model=BatchObject,
    responses={
        200: {"model": BatchPlan, "description": "With `validate_only`: what the batch would be."},
        **problems(400, 401, 403, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra=_submit_body(),
    summary="Submit a batch",
)
async def submit_batch(
    request: Request,
    context: InContext,
    caller: Writer,
    who: Authenticated,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
    cancel_after: CancelAfter = None,
) -> Response:
    """Take a manifest or a ZIP of photos, up to 50,000 jobs by default.

    A worker judges every line first. Unless `skip_invalid` is set, one bad line means that nothing runs: the batch is
    `failed`, and its errors name each bad line. Options in the form are those of lines that do not say otherwise.
    """
    settings = context.settings
    largest = max(settings.batch_max_manifest_bytes, settings.batch_max_archive_bytes)
    form = await read_form(request, max_file_bytes=largest, file_field=BATCH_FIELD)
    try:
        put_cancel_after(form, cancel_after)
        ticket = make_ticket(request, caller, idempotency_key, form.fingerprint())
        asked = await run_in_threadpool(parse_batch, form, context, api_key_id=caller)
        if asked.flags.validate_only:
            plan = await run_in_threadpool(look_ahead, context, asked, caller=who)
            return StreamingResponse(plan.body(), media_type="application/json")
        await run_in_threadpool(context.limiter.require_room, request, who)
        base_url = context.base_url(request)
        answer = await run_in_threadpool(
            accept_batch, context, asked, api_key_id=caller, base_url=base_url, ticket=ticket
        )
    finally:
        form.close()
    return _made(answer, context, background)


def _made(answer: Answer, context: InContext, background: BackgroundTasks) -> Response:
    response = answer.response()
    if not answer.is_replay:
        background.add_task(context.doorbell.ring, Bell.IO)
        response.background = background
    return response


@router.get("", responses=problems(401, 403, 422, 429, 503), summary="List batches")
def list_batches(
    request: Request,
    response: Response,
    context: InContext,
    caller: Reader,
    limit: Limit = 20,
    starting_after: StartingAfter = None,
    ending_before: EndingBefore = None,
    status: Annotated[BatchStatus | None, Query(description="Only batches with this status.")] = None,
) -> BatchList:
    """The caller's batches, newest first."""
    with context.sessions.begin() as session:
        found, has_more = batches.page(
            session,
            api_key_id=caller,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
            status=status,
        )
    base_url = context.base_url(request)
    set_links(
        response,
        f"{base_url}/v1/batches",
        [batches.public_id(batch.id) for batch in found],
        has_more=has_more,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
        kept={"status": status.value if status else None},
    )
    return BatchList(data=[batch_object(batch, base_url=base_url) for batch in found], has_more=has_more)


@router.get("/{batch_id}", responses=problems(401, 403, 404, 429, 503), summary="Read a batch")
def read_batch(
    request: Request, response: Response, context: InContext, caller: Reader, batch_id: BatchId
) -> BatchObject:
    """The batch as it was counted last, with the first of its bad lines."""
    with context.sessions.begin() as session:
        batch = batches.find(session, batch_id, api_key_id=caller)
        bad_lines = batches.sample_of_bad_lines(session, batch)
    if batch.status not in batches.FINAL:
        response.headers["Retry-After"] = str(POLL_S)
    return batch_object(batch, base_url=context.base_url(request), bad_lines=bad_lines)


@router.get("/{batch_id}/items", responses=problems(401, 403, 404, 422, 429, 503), summary="List a batch's jobs")
def list_items(
    request: Request,
    response: Response,
    context: InContext,
    caller: Reader,
    batch_id: BatchId,
    limit: Limit = 20,
    starting_after: Annotated[
        str | None, Query(description="Id of a job: the page holds those of later lines.")
    ] = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    custom_id: Annotated[str | None, Query(description="Only the job of the line with this custom id.")] = None,
) -> ItemList:
    """The jobs of a batch, by line. Lines become jobs while the batch is `in_progress`."""
    with context.sessions.begin() as session:
        batch = batches.find(session, batch_id, api_key_id=caller)
        found, has_more = batches.items(
            session, batch, limit=limit, starting_after=starting_after, status=status, custom_id=custom_id
        )
    base_url = context.base_url(request)
    set_links(
        response,
        f"{base_url}/v1/batches/{batch_id}/items",
        [job_public_id(job.id) for job in found],
        has_more=has_more,
        limit=limit,
        starting_after=None,
        ending_before=None,
        kept={"status": status.value if status else None, "custom_id": custom_id},
    )
    return ItemList(data=[job_object(job, base_url=base_url) for job in found], has_more=has_more)


@router.post("/{batch_id}/cancel", responses=problems(401, 403, 404, 409, 429, 503), summary="Cancel a batch")
def cancel_batch(
    request: Request, context: InContext, caller: Writer, batch_id: BatchId, background: BackgroundTasks
) -> BatchObject:
    """Cancel what has not ended. Best effort: a job that a worker finishes first has finished.

    The batch is `canceling` until every job has ended, then `canceled`.
    """
    with context.sessions.begin() as session:
        batch = batches.cancel(session, batch_id, api_key_id=caller)
    background.add_task(context.doorbell.ring, Bell.IO)
    return batch_object(batch, base_url=context.base_url(request))


@router.post(
    "/{batch_id}/retry",
    status_code=202,
    response_model=BatchObject,
    responses=problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503),
    openapi_extra=_retry_body(),
    summary="Run a batch again",
)
async def retry_batch(
    request: Request,
    context: InContext,
    caller: Writer,
    who: Authenticated,
    batch_id: BatchId,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make a new batch of the jobs that failed, or of all, with the same options or with others.

    Custom ids stay. Photos at URLs are fetched again; uploads and photos out of a ZIP are used again while they last.
    """
    fields = await read_json(request) if has_body(request) else {}
    ticket = make_ticket(request, caller, idempotency_key, Form(fields).fingerprint())
    await run_in_threadpool(context.limiter.require_room, request, who)
    base_url = context.base_url(request)
    answer = await run_in_threadpool(
        accept_retry, context, batch_id, fields, api_key_id=caller, base_url=base_url, ticket=ticket
    )
    return _made(answer, context, background)
