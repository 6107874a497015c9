"""Download what a batch made."""

from collections.abc import Iterator
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.auth import Reader
from api.batch_results import error_lines, output_lines, results_zip
from api.batch_views import POLL_S
from api.context import Context, InContext
from api.openapi import problems
from api.problems import ProblemError
from api.routes.batches import BatchId
from db.batch_models import Batch
from jobs import batches
from jobs.filenames import content_disposition

router = APIRouter(prefix="/v1/batches", tags=["batches"])

_LINES = "application/jsonl"
_PROBLEMS = problems(401, 403, 404, 409, 429, 503)


def _content(media_type: str) -> dict[int | str, dict[str, object]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": "The file.", "content": {media_type: {"schema": schema}}}}


@router.get(
    "/{batch_id}/results.zip",
    response_class=StreamingResponse,
    responses={**_content("application/zip"), **_PROBLEMS},
    summary="Download all outputs",
)
def download_results(context: InContext, caller: Reader, batch_id: BatchId) -> Response:
    """A ZIP of every output, named by its custom id, with `manifest.csv`: what became of each line."""
    batch = _ended(context, batch_id, caller)
    return _send(results_zip(context, batch), f"{batch_id}.zip", "application/zip")


@router.get(
    "/{batch_id}/output.jsonl",
    response_class=StreamingResponse,
    responses={**_content(_LINES), **_PROBLEMS},
    summary="Download the jobs that succeeded",
)
def download_output(request: Request, context: InContext, caller: Reader, batch_id: BatchId) -> Response:
    """One job a line, as it is read at `/v1/jobs`, by the manifest's order."""
    batch = _ended(context, batch_id, caller)
    return _send(output_lines(context, batch, context.base_url(request)), f"{batch_id}-output.jsonl", _LINES)


@router.get(
    "/{batch_id}/errors.jsonl",
    response_class=StreamingResponse,
    responses={**_content(_LINES), **_PROBLEMS},
    summary="Download what did not come out",
)
def download_errors(context: InContext, caller: Reader, batch_id: BatchId) -> Response:
    """One bad line, or one job that did not succeed, a line: `line`, `custom_id`, `status`, and `errors` or `error`."""
    batch = _ended(context, batch_id, caller)
    return _send(error_lines(context, batch), f"{batch_id}-errors.jsonl", _LINES)


def _ended(context: Context, batch_id: str, caller: UUID) -> Batch:
    with context.sessions.begin() as session:
        batch = batches.find(session, batch_id, api_key_id=caller)
    if batch.status not in batches.FINAL:
        detail = f"The batch is {batch.status.value}; its files come when it has ended."
        raise ProblemError("not_ready", detail, headers={"Retry-After": str(POLL_S)})
    return batch


def _send(body: Iterator[bytes], filename: str, media_type: str) -> Response:
    headers = {"Cache-Control": "private, no-cache", "Content-Disposition": content_disposition(filename)}
    return StreamingResponse(body, headers=headers, media_type=media_type)
