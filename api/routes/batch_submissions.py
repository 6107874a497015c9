"""Submit batches, and run them again."""

from functools import partial
from http import HTTPStatus
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api.auth import Authenticated, Writer
from api.batch_intake import BATCH_FIELD, BatchFlags, accept_batch, look_ahead, parse_batch
from api.batch_retry import BatchRetry, accept_retry
from api.batch_schemas import BatchObject, BatchPlan
from api.batch_views import POLL_S, batch_object
from api.bodies import has_body
from api.context import Context, InContext
from api.idempotency import Answer, IdempotencyKey, make_ticket
from api.json_schema import schema_of
from api.openapi import problems
from api.routes.batches import BatchId
from api.streams import read_json
from api.submission import CancelAfter, put_cancel_after
from api.uploads import Form, read_form
from api.waiting import (
    Prefer,
    look_at_batch_in,
    peek_batch_in,
    poll_headers,
    preferred_wait,
    settle,
)
from dispatch.names import Bell
from jobs.fields import JobCreate
from jobs.idempotency import Reply
from jobs.schedule import ScheduleFields

router = APIRouter(prefix="/v1/batches", tags=["batches"])


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
        201: {"model": BatchObject, "description": "The batch has ended while the request waited."},
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
    idempotency_key: IdempotencyKey = None,
    cancel_after: CancelAfter = None,
    prefer: Prefer = None,
) -> Response:
    """Take a manifest or a ZIP of photos, up to 50,000 jobs by default.

    A worker judges every line first. Unless `skip_invalid` is set, one bad line means that nothing runs: the batch is
    `failed`, and its errors name each bad line. Options in the form are those of lines that do not say otherwise. With
    `Prefer: wait=n` the reply comes when the batch has ended, as 201, or after n seconds, as 202.
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
        await run_in_threadpool(context.limiter.admit_photo, request, who, 0.0)
        base_url = context.base_url(request)
        answer = await run_in_threadpool(
            accept_batch, context, asked, api_key_id=caller, base_url=base_url, ticket=ticket
        )
    finally:
        form.close()
    return await _made(request, context, answer, caller, preferred_wait(prefer))


async def _made(request: Request, context: Context, answer: Answer, caller: UUID, wait_s: int | None) -> Response:
    """Ring for a new batch, and wait for its end where that is asked for."""
    if answer.is_replay:
        return answer.response()
    if wait_s is not None:
        await run_in_threadpool(context.doorbell.ring, Bell.IO)
        return await _reply_at_end(request, context, caller, answer.reply, wait_s)
    response = answer.response()
    # After the reply: the row is committed, so a slow broker need not hold up the caller.
    response.background = BackgroundTask(context.doorbell.ring, Bell.IO)
    return response


async def _reply_at_end(request: Request, context: Context, caller: UUID, reply: Reply, wait_s: int) -> Response:
    """201 with the batch that has ended within `wait_s`, else 202 with the batch as it stands then."""
    batch_id = cast("UUID", reply.subject_id)
    peek = partial(peek_batch_in, context, batch_id, caller)
    await settle(request, context.watcher, batch_id, peek=peek, is_enough=attrgetter("is_final"), wait_s=wait_s)
    batch, bad_lines, found = await run_in_threadpool(look_at_batch_in, context, batch_id, caller)
    shown = batch_object(batch, base_url=context.base_url(request), bad_lines=bad_lines)
    headers = {
        "Location": reply.headers["Location"],
        "Preference-Applied": f"wait={wait_s}",
        **poll_headers(found, POLL_S),
    }
    status = HTTPStatus.CREATED if found.is_final else HTTPStatus.ACCEPTED
    return JSONResponse(shown.model_dump(mode="json"), status, headers)


@router.post(
    "/{batch_id}/retry",
    status_code=202,
    response_model=BatchObject,
    responses={
        201: {"model": BatchObject, "description": "The new batch has ended while the request waited."},
        **problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503),
    },
    openapi_extra=_retry_body(),
    summary="Run a batch again",
)
async def retry_batch(
    request: Request,
    context: InContext,
    caller: Writer,
    who: Authenticated,
    batch_id: BatchId,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Make a new batch of the jobs that failed, or of all, with the same options or with others.

    Custom ids stay. Photos at URLs are fetched again; uploads and photos out of a ZIP are used again while they last.
    """
    fields = await read_json(request) if has_body(request) else {}
    ticket = make_ticket(request, caller, idempotency_key, Form(fields).fingerprint())
    await run_in_threadpool(context.limiter.admit_photo, request, who, 0.0)
    base_url = context.base_url(request)
    answer = await run_in_threadpool(
        accept_retry, context, batch_id, fields, api_key_id=caller, base_url=base_url, ticket=ticket
    )
    return await _made(request, context, answer, caller, preferred_wait(prefer))
