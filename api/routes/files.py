"""Download what a job made: from the store itself where it can sign a URL, else through here."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Annotated, BinaryIO

import structlog
from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from api.context import Context, InContext
from api.intake import POLL_S
from api.links import Download, FileReader
from api.openapi import FILE_RESPONSE, problems
from api.problems import ProblemError
from api.ranges import Span, read_range
from api.routes.jobs import JobId
from api.waiting import IfNoneMatch, matches
from db.base import JobStatus
from db.models import Job, Matte, Output
from jobs import service
from jobs.filenames import content_disposition, output_filename, stem_of
from jobs.lifecycle import FINAL
from storage.port import ObjectNotFoundError, StorageUnavailableError
from vision.formats import MEDIA_TYPES

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["files"])

_CHUNK_BYTES = 256 * 1024
_unsigned = Event()  # set once the log says that the store can't sign
_RESPONSES = {
    200: FILE_RESPONSE,
    206: {**FILE_RESPONSE, "description": "The asked range of the file."},
    304: {"description": "The copy at hand is still the file."},
    307: {"description": "The store has the file: at `Location`, for a short while, without a key."},
    **problems(401, 403, 404, 409, 410, 416, 422, 503),
}

Range = Annotated[str | None, Header(alias="Range", description="One range of bytes (RFC 9110), as `bytes=0-99`.")]
IfRange = Annotated[str | None, Header(description="ETag of the file that the range is of; of another file all comes.")]


@router.get(
    "/{job_id}/outputs/{name}", response_class=StreamingResponse, responses=_RESPONSES, summary="Download an output"
)
@router.head("/{job_id}/outputs/{name}", include_in_schema=False)
def download_output(
    request: Request,
    context: InContext,
    reader: FileReader,
    job_id: JobId,
    name: Annotated[str, Path(description="An output's name.", examples=["cutout"])],
    if_none_match: IfNoneMatch = None,
    range_: Range = None,
    if_range: IfRange = None,
) -> Response:
    """The bytes of an output. Its ETag is the sha256 of the bytes.

    Where the store can, 307 sends you on to it: follow the redirect, and send it no key.
    """
    with context.sessions.begin() as session:
        job = service.find(session, job_id, api_key_id=reader.api_key_id)
    _require_files(job)
    output = next((output for output in job.outputs if output.name == name), None)
    if output is not None and output.status is JobStatus.FAILED and output.key is None:
        raise ProblemError("output_failed", f"It failed with {output.error_code}: {output.error_detail}")
    if output is not None and output.key is None:
        raise _not_ready(f"The output is {output.status.value}.")
    if output is None or output.key is None:
        raise ProblemError("not_found", "The job has no such output.")
    asked = _Asked(request.method, if_none_match, range_, if_range)
    file = _File(output.key, output, output_filename(job.filename, job_id, name, output.format))
    if (away := _elsewhere(context, reader, asked, file)) is not None:
        return away
    return _send(context, asked, file)


@router.get("/{job_id}/matte", response_class=StreamingResponse, responses=_RESPONSES, summary="Download the matte")
@router.head("/{job_id}/matte", include_in_schema=False)
def download_matte(
    request: Request,
    context: InContext,
    reader: FileReader,
    job_id: JobId,
    if_none_match: IfNoneMatch = None,
    range_: Range = None,
    if_range: IfRange = None,
) -> Response:
    """The alpha matte, a grey PNG of the photo's size with 16 bits: 65535 is product."""
    with context.sessions.begin() as session:
        job = service.find(session, job_id, api_key_id=reader.api_key_id)
    _require_files(job)
    if job.matte is None:
        raise ProblemError("not_found", "The job has no matte.")
    # Never from the store: a matte is shared by jobs whose photos may have different names.
    file = _File(job.matte.key, job.matte, f"{stem_of(job.filename, otherwise=job_id)}-matte.png")
    return _send(context, _Asked(request.method, if_none_match, range_, if_range), file)


def _require_files(job: Job) -> None:
    if job.status not in FINAL and job.made_at is None:
        raise _not_ready(f"The job is {job.status.value}; its files come when it has succeeded.")
    if job.files_purged_at is not None:
        raise _purged()


def _not_ready(detail: str) -> ProblemError:
    return ProblemError("not_ready", detail, headers={"Retry-After": str(POLL_S)})


def _purged() -> ProblemError:
    return ProblemError("files_purged", "The job's files were removed at the end of their retention.")


@dataclass(frozen=True)
class _Asked:
    """What of a file is asked for, as the headers say."""

    method: str
    if_none_match: str | None
    range: str | None
    if_range: str | None


@dataclass(frozen=True)
class _File:
    """A stored file, and what its download is called."""

    key: str
    row: Output | Matte
    filename: str

    @property
    def etag(self) -> str:
        """Of its bytes, strong."""
        return f'"{self.row.sha256}"'

    @property
    def media_type(self) -> str:
        """By its ending."""
        return MEDIA_TYPES[self.filename.rsplit(".", 1)[1]]


def _elsewhere(context: Context, reader: Download, asked: _Asked, file: _File) -> Response | None:
    """A redirect to the store, good no longer than the link in hand; None where we send the file ourselves."""
    if asked.method != "GET" or matches(asked.if_none_match, file.etag):
        return None  # a signed URL is good for GET alone
    longest = timedelta(seconds=context.settings.storage_link_s)
    lasts = longest if reader.left is None else min(longest, reader.left)
    try:
        url = context.storage.url(file.key, expires_in=max(lasts, timedelta(seconds=1)))
    except StorageUnavailableError as error:
        # Credentials that may read but not sign: what the store won't hand out itself, we can.
        _warn_unsigned(str(error))
        return None
    if url is None:
        return None
    return Response(status_code=307, headers={"Location": url, "ETag": file.etag, "Cache-Control": "private, no-store"})


def _warn_unsigned(error: str) -> None:
    """Once per process: a store that can't sign can't at any download."""
    if not _unsigned.is_set():
        _unsigned.set()
        log.warning("store_cannot_sign", error=error)


def _send(context: Context, asked: _Asked, file: _File) -> Response:
    # A private copy may be kept, but is asked about each time: a deleted job's files are gone at once.
    headers = {"ETag": file.etag, "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    if matches(asked.if_none_match, file.etag):
        return Response(status_code=304, headers=headers)
    size = file.row.bytes or 0
    headers["Content-Disposition"] = content_disposition(file.filename)
    if asked.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(size)}, media_type=file.media_type)
    span = read_range(asked.range, size) if asked.if_range in {None, file.etag} else None
    try:
        opened = context.storage.open(file.key)
    except ObjectNotFoundError as error:
        # Mostly a purge between our look at the row and this one; a file that vanished shows in the log.
        log.warning("file_missing", key=file.key)
        raise _purged() from error
    if span is None:
        headers["Content-Length"] = str(size)
        return StreamingResponse(chunks(opened), headers=headers, media_type=file.media_type)
    headers |= {"Content-Length": str(span.length), "Content-Range": f"bytes {span.first}-{span.last}/{size}"}
    return StreamingResponse(chunks(opened, span), status_code=206, headers=headers, media_type=file.media_type)


def chunks(file: BinaryIO, span: Span | None = None) -> Iterator[bytes]:
    """A file, or a span of it, piece by piece; closed at its end."""
    with file:
        left = sys.maxsize
        if span is not None:
            file.seek(span.first)
            left = span.length
        while chunk := file.read(min(_CHUNK_BYTES, left)):
            yield chunk
            left -= len(chunk)
