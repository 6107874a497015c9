"""Read, list, cancel and delete batches."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.auth import Reader, Writer
from api.batch_schemas import BatchList, BatchObject, ItemList
from api.batch_views import POLL_S, batch_object
from api.context import InContext
from api.intake import remove_files
from api.job_filters import read_labels
from api.openapi import problems
from api.paging import EndingBefore, Limit, StartingAfter, set_links
from api.problems import ProblemError
from api.views import job_object
from api.waiting import (
    IfNoneMatch,
    Wait,
    look_at_batch_in,
    peek_batch_in,
    poll_headers,
    settle_known,
)
from db.base import JobStatus
from db.batch_models import BatchStatus
from dispatch.names import Bell
from jobs import batches
from jobs.fields import is_storable
from jobs.ids import job_public_id
from jobs.watching import batch_topic

router = APIRouter(prefix="/v1/batches", tags=["batches"])

BatchId = Annotated[str, Path(description="A batch's id.", examples=["batch_0199c0ffee007000800000000000cafe"])]


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
    label: Annotated[
        list[str] | None,
        Query(description="Only batches with this label, as `name:value`; several must all be there.", max_length=16),
    ] = None,
) -> BatchList:
    """The caller's batches, newest first."""
    labels = read_labels(label or [])
    with context.sessions.begin() as session:
        found, has_more = batches.page(
            session,
            api_key_id=caller,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
            status=status,
            labels=labels,
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
        kept={"status": status.value if status else None, "label": label},
    )
    return BatchList(data=[batch_object(batch, base_url=base_url) for batch in found], has_more=has_more)


@router.get(
    "/{batch_id}",
    response_model=BatchObject,
    responses={
        304: {"description": "The copy at hand is still the same."},
        **problems(401, 403, 404, 422, 429, 503),
    },
    summary="Read a batch",
)
async def read_batch(
    request: Request,
    context: InContext,
    caller: Reader,
    batch_id: BatchId,
    wait: Wait = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The batch as it was counted last, with the first of its bad lines; or after `wait`.

    With the `ETag` of an earlier reply as `If-None-Match`, an unchanged batch is 304 without a body; `wait` then ends
    at any change of status or counts.
    """
    topic = batch_topic(batch_id)
    peek = partial(peek_batch_in, context, topic, caller)
    known = await settle_known(request, context.watcher, topic, peek=peek, wait_s=wait, if_none_match=if_none_match)
    if known is not None:
        return Response(status_code=304, headers=poll_headers(known, POLL_S))
    batch, bad_lines, found = await run_in_threadpool(look_at_batch_in, context, topic, caller)
    shown = batch_object(batch, base_url=context.base_url(request), bad_lines=bad_lines)
    return JSONResponse(shown.model_dump(mode="json"), headers=poll_headers(found, POLL_S))


@router.delete(
    "/{batch_id}", status_code=204, responses=problems(401, 403, 404, 409, 429, 503), summary="Delete a batch"
)
def delete_batch(context: InContext, caller: Writer, batch_id: BatchId) -> None:
    """Forget a batch that has ended, with its jobs. Cancel one that has not: 409 `batch_not_ended` until it has.

    It and its jobs are gone at once. Manifest, photos, outputs and mattes are removed by the sweeper, within minutes
    for a large batch; mattes and uploads that another of the caller's jobs uses stay until that one goes.
    """
    with context.sessions.begin() as session:
        manifest = batches.delete(session, batch_id, api_key_id=caller)
    remove_files(context.storage, () if manifest is None else (manifest,))


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
    if custom_id is not None and not is_storable(custom_id):
        raise ProblemError("invalid_custom_id", "custom_id holds U+0000: no line has that.")
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
