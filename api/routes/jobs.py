"""Submit, read, list, cancel and delete jobs."""

from functools import partial
from http import HTTPStatus
from operator import attrgetter
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Authenticated, Reader, Writer
from api.context import Context, InContext
from api.idempotency import IdempotencyKey, make_ticket
from api.intake import POLL_S, accept, remove_files
from api.job_filters import Wanted
from api.openapi import SUBMIT_BODY, problems
from api.paging import EndingBefore, Limit, StartingAfter, set_links
from api.schemas import JobList, JobObject
from api.submission import CancelAfter, put_cancel_after
from api.uploads import read_form
from api.views import job_object
from api.waiting import (
    IfNoneMatch,
    Prefer,
    Wait,
    look_in,
    peek_in,
    poll_headers,
    preferred_wait,
    settle,
    settle_known,
)
from db.models import Job
from dispatch.names import Bell
from jobs import service
from jobs.idempotency import Reply
from jobs.ids import job_public_id
from jobs.watching import job_topic

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[str, Path(description="A job's id.", examples=["job_0199c0ffee007000800000000000cafe"])]


@router.post(
    "",
    status_code=202,
    response_model=JobObject,
    responses={
        200: {"model": JobObject, "description": "With `dedupe=reuse`: a job that was there."},
        201: {"model": JobObject, "description": "The job has ended while the request waited."},
        **problems(400, 401, 403, 409, 413, 415, 422, 503),
    },
    openapi_extra={"requestBody": SUBMIT_BODY},
    summary="Submit a photo",
)
async def submit_job(
    request: Request,
    context: InContext,
    caller: Writer,
    who: Authenticated,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
    cancel_after: CancelAfter = None,
) -> Response:
    """Take a photo and queue it.

    Send `multipart/form-data` with the photo as `image_file`, or `application/json` (or a form) with its `image_url`;
    the options are the same. The photo's header is checked before anything is stored. The job exists once this
    replies 202: nothing that happens to broker or workers can lose it. With `Prefer: wait=n` the reply comes when the
    job has ended, as 201, or after n seconds, as 202.
    """
    form = await read_form(request, max_file_bytes=context.settings.max_upload_bytes)
    try:
        put_cancel_after(form, cancel_after)
        ticket = make_ticket(request, caller, idempotency_key, form.fingerprint())
        base_url = context.base_url(request)
        admit = partial(context.limiter.admit_photo, request, who)
        answer = await run_in_threadpool(
            accept, context, form, caller=who, base_url=base_url, ticket=ticket, admit=admit
        )
    finally:
        form.close()
    response = answer.response()
    if answer.is_replay:
        return response
    bell = Bell.IO if "image_url" in form.fields else Bell.GPU
    wait_s = preferred_wait(prefer)
    if wait_s is not None and answer.reply.subject_id is not None:
        await run_in_threadpool(context.doorbell.ring, bell)
        return await _reply_at_end(request, context, caller, answer.reply, wait_s)
    # After the reply: the row is committed, so a slow broker need not hold up the caller.
    background.add_task(context.doorbell.ring, bell)
    response.background = background
    return response


async def _reply_at_end(request: Request, context: Context, caller: UUID, reply: Reply, wait_s: int) -> Response:
    """201 with the job that has ended within `wait_s`, else 202 with the job as it stands then."""
    job_id = cast("UUID", reply.subject_id)
    peek = partial(peek_in, context, job_id, caller)
    await settle(request, context.watcher, job_id, peek=peek, is_enough=attrgetter("is_final"), wait_s=wait_s)
    job, found = await run_in_threadpool(look_in, context, job_id, caller)
    headers = {
        "Location": reply.headers["Location"],
        "Preference-Applied": f"wait={wait_s}",
        **poll_headers(found, POLL_S),
    }
    shown = _show(job, context, request).model_dump_json()
    ended = 200 if reply.status == HTTPStatus.OK else 201  # a job that was there was not made now
    return Response(shown, ended if found.is_final else 202, headers, "application/json")


@router.get("", responses=problems(401, 403, 404, 422, 503), summary="List jobs")
def list_jobs(
    request: Request,
    response: Response,
    context: InContext,
    caller: Reader,
    wanted: Wanted,
    limit: Limit = 20,
    starting_after: StartingAfter = None,
    ending_before: EndingBefore = None,
) -> JobList:
    """The caller's jobs, newest first, in pages that hold still while new jobs arrive.

    The `Link` header has the URLs of the next (older) and the previous (newer) page.
    """
    with context.autocommit() as session:
        found, has_more = service.page(
            session,
            api_key_id=caller,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
            wanted=wanted.filter,
        )
    set_links(
        response,
        f"{context.base_url(request)}/v1/jobs",
        [job_public_id(job.id) for job in found],
        has_more=has_more,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
        kept=wanted.query,
    )
    return JobList(data=[_show(job, context, request) for job in found], has_more=has_more)


@router.get(
    "/{job_id}",
    response_model=JobObject,
    responses={
        304: {"description": "The copy at hand is still the same."},
        **problems(401, 403, 404, 422, 503),
    },
    summary="Read a job",
)
async def read_job(
    request: Request,
    context: InContext,
    caller: Reader,
    job_id: JobId,
    wait: Wait = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The job as it stands, or after `wait`. `Retry-After` says when to look again while it has not ended.

    With the `ETag` of an earlier reply as `If-None-Match`, an unchanged job costs next to nothing: 304 without a body.
    """
    topic = job_topic(job_id)
    peek = partial(peek_in, context, topic, caller)
    known = await settle_known(request, context.watcher, topic, peek=peek, wait_s=wait, if_none_match=if_none_match)
    if known is not None:
        return Response(status_code=304, headers=poll_headers(known, POLL_S))
    job, found = await run_in_threadpool(look_in, context, topic, caller)
    shown = _show(job, context, request).model_dump_json()
    return Response(shown, headers=poll_headers(found, POLL_S), media_type="application/json")


@router.post("/{job_id}/cancel", responses=problems(401, 403, 404, 409, 503), summary="Cancel a job")
def cancel_job(
    request: Request, context: InContext, caller: Writer, job_id: JobId, background: BackgroundTasks
) -> JobObject:
    """Cancel a job that has not ended. Best effort: a worker that finished first wins, and this replies 409."""
    with context.sessions.begin() as session:
        job = service.cancel(session, job_id, api_key_id=caller)
    background.add_task(context.doorbell.ring, Bell.IO)  # its webhooks are due
    return _show(job, context, request)


@router.delete("/{job_id}", status_code=204, responses=problems(401, 403, 404, 503), summary="Delete a job")
def delete_job(context: InContext, caller: Writer, job_id: JobId, background: BackgroundTasks) -> None:
    """Cancel the job if it still runs, forget it and remove its photo, outputs and matte.

    A matte that another of the caller's jobs of the same photo uses stays until that one goes.
    """
    with context.sessions.begin() as session:
        purge = service.delete(session, job_id, api_key_id=caller)
    remove_files(context.storage, purge.keys)
    background.add_task(context.doorbell.ring, Bell.IO)  # its webhooks are due, where it still ran


def _show(job: Job, context: Context, request: Request) -> JobObject:
    return job_object(job, base_url=context.base_url(request))
