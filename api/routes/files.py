"""Download what a job made."""

from collections.abc import Iterator
from typing import Annotated, BinaryIO

import structlog
from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from api.context import Context, InContext
from api.intake import POLL_S
from api.links import FileReader
from api.openapi import FILE_RESPONSE, problems
from api.problems import ProblemError
from api.routes.jobs import JobId
from api.waiting import IfNoneMatch, matches
from db.base import JobStatus
from db.models import Job, Matte, Output
from jobs import service
from jobs.filenames import content_disposition, stem_of
from jobs.lifecycle import FINAL
from storage.port import ObjectNotFoundError

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["files"])

MEDIA_TYPES = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg", "zip": "application/zip"}
_CHUNK_BYTES = 256 * 1024
_RESPONSES = {200: FILE_RESPONSE, **problems(401, 403, 404, 409, 410, 422, 503)}


@router.get(
    "/{job_id}/outputs/{name}", response_class=StreamingResponse, responses=_RESPONSES, summary="Download an output"
)
def download_output(
    context: InContext,
    caller: FileReader,
    job_id: JobId,
    name: Annotated[str, Path(description="An output's name.", examples=["cutout"])],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The bytes of an output. Its ETag is the sha256 of the bytes."""
    with context.sessions.begin() as session:
        job = service.find(session, job_id, api_key_id=caller)
    _require_files(job)
    output = next((output for output in job.outputs if output.name == name), None)
    if output is not None and output.status is JobStatus.FAILED:
        raise ProblemError("output_failed", f"It failed with {output.error_code}: {output.error_detail}")
    if output is not None and output.key is None:
        raise _not_ready(f"The output is {output.status.value}.")
    if output is None or output.key is None:
        raise ProblemError("not_found", "The job has no such output.")
    suffix = "" if name == "cutout" else f"-{name}"
    filename = f"{stem_of(job.filename, otherwise=job_id)}{suffix}.{output.format}"
    return _send(context, output.key, output, filename, if_none_match)


@router.get("/{job_id}/matte", response_class=StreamingResponse, responses=_RESPONSES, summary="Download the matte")
def download_matte(
    context: InContext, caller: FileReader, job_id: JobId, if_none_match: IfNoneMatch = None
) -> Response:
    """The alpha matte, a grey PNG of the photo's size: 255 is product."""
    with context.sessions.begin() as session:
        job = service.find(session, job_id, api_key_id=caller)
    _require_files(job)
    if job.matte is None:
        raise ProblemError("not_found", "The job has no matte.")
    filename = f"{stem_of(job.filename, otherwise=job_id)}-matte.png"
    return _send(context, job.matte.key, job.matte, filename, if_none_match)


def _require_files(job: Job) -> None:
    if job.status not in FINAL:
        raise _not_ready(f"The job is {job.status.value}; its files come when it has succeeded.")
    if job.files_purged_at is not None:
        raise _purged()


def _not_ready(detail: str) -> ProblemError:
    return ProblemError("not_ready", detail, headers={"Retry-After": str(POLL_S)})


def _purged() -> ProblemError:
    return ProblemError("files_purged", "The job's files were removed at the end of their retention.")


def _send(context: Context, key: str, row: Output | Matte, filename: str, if_none_match: str | None) -> Response:
    etag = f'"{row.sha256}"'
    # A private copy may be kept, but is asked about each time: a deleted job's files are gone at once.
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    try:
        file = context.storage.open(key)
    except ObjectNotFoundError as error:
        # Mostly a purge between our look at the row and this one; a file that vanished shows in the log.
        log.warning("file_missing", key=key)
        raise _purged() from error
    headers |= {"Content-Length": str(row.bytes), "Content-Disposition": content_disposition(filename)}
    return StreamingResponse(chunks(file), headers=headers, media_type=MEDIA_TYPES[filename.rsplit(".", 1)[1]])


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """A file piece by piece; closed at its end."""
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
