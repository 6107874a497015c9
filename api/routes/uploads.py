"""Photos stored ahead of the jobs that use them."""

from collections.abc import Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.auth import Authenticated, Reader, Writer
from api.batch_schemas import UploadObject
from api.batch_views import upload_object
from api.context import Context, InContext
from api.idempotency import Answer, IdempotencyKey, commit_once, look, make_ticket
from api.intake import remove_files, store_photo
from api.openapi import problems
from api.problems import ProblemError
from api.uploads import FILE_FIELD, Form, read_form
from jobs import uploads
from jobs.errors import FieldError, pointer_to
from jobs.filenames import clean_filename
from jobs.idempotency import Reply, Ticket
from jobs.ids import new_id
from jobs.params import JobParams
from storage.keys import upload_key
from vision.codec.signature import READ_HERE

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

UploadId = Annotated[str, Path(description="An upload's id.", examples=["upl_0199c0ffee007000800000000000cafe"])]
_FILE = {"type": "string", "format": "binary", "description": f"The photo: {READ_HERE}."}
_ANY_FRAMES = JobParams(animated="first_frame")
"""Whether a photo of several frames is refused is for the options of its jobs to say."""
_FORM = {"title": "UploadForm", "type": "object", "required": [FILE_FIELD], "properties": {FILE_FIELD: _FILE}}


@router.post(
    "",
    status_code=201,
    response_model=UploadObject,
    responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
    summary="Upload a photo",
)
async def create_upload(
    request: Request,
    context: InContext,
    caller: Writer,
    who: Authenticated,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store a photo for jobs to come: a line of a manifest names it as `upload_id`. It waits for a day by default."""
    form = await read_form(request, max_file_bytes=context.settings.max_upload_bytes)
    try:
        ticket = make_ticket(request, caller, idempotency_key, form.fingerprint())
        base_url = context.base_url(request)
        admit = partial(context.limiter.admit_photo, request, who)
        answer = await run_in_threadpool(_accept, context, form, caller, base_url, ticket, admit)
    finally:
        form.close()
    return answer.response()


def _accept(
    context: Context,
    form: Form,
    caller: UUID,
    base_url: str,
    ticket: Ticket | None,
    admit: Callable[[float], None],
) -> Answer:
    if (before := look(context.sessions, ticket)) is not None:
        return before
    for name in form.fields:
        error = FieldError(pointer_to(name), "unknown_field", "There is no such field.")
        raise ProblemError(error.code, error.detail, errors=(error,))
    if form.upload is None or not form.upload.size_bytes:
        raise ProblemError("missing_source", f"Send the photo as {FILE_FIELD}.")
    filename = clean_filename(form.upload.filename)
    upload_id = new_id()
    stored, header = store_photo(context, form.upload, upload_key(upload_id), admit, _ANY_FRAMES)

    def make(session: Session) -> Reply:
        retention = context.settings.uploads_retention
        made = uploads.create(
            session,
            upload_id,
            stored,
            is_turned=header.is_turned,
            is_animated=header.frames > 1,
            api_key_id=caller,
            filename=filename,
            retention=retention,
        )
        shown = upload_object(made)
        return Reply(201, {"Location": f"{base_url}/v1/uploads/{shown.id}"}, shown.model_dump_json(), upload_id)

    answer = commit_once(context.sessions, ticket, make)
    if answer.is_replay:
        remove_files(context.storage, (stored.key,))
    return answer


@router.get("/{upload_id}", responses=problems(401, 403, 404, 429, 503), summary="Read an upload")
def read_upload(context: InContext, caller: Reader, upload_id: UploadId) -> UploadObject:
    """The upload, until it expires."""
    with context.sessions.begin() as session:
        return upload_object(uploads.find(session, upload_id, api_key_id=caller))


@router.delete("/{upload_id}", status_code=204, responses=problems(401, 403, 404, 429, 503), summary="Delete an upload")
def delete_upload(context: InContext, caller: Writer, upload_id: UploadId) -> None:
    """No further job may use it. Its file goes when the jobs that use it have gone."""
    with context.sessions.begin() as session:
        uploads.delete(session, upload_id, api_key_id=caller)
