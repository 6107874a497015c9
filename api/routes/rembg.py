"""Drop-in for clients of rembg's server, which send no key: `/api/remove`. `docs/compatibility.md` tells all."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from api.context import InContext
from api.drop_in import run
from api.problems import ProblemError
from api.routes.files import chunks
from api.streams import duplicate
from api.uploads import Form, read_form
from jobs import keys
from jobs.keys import Scope
from jobs.rembg import translate
from vision.formats import MEDIA_TYPES

# Not in the OpenAPI document: rembg's own describes it.
router = APIRouter(prefix="/api/remove", include_in_schema=False)

_FILE_FIELD = "file"


def rembg_caller(request: Request, context: InContext) -> keys.Caller:
    """The key that `PACKSHOT_REMBG_KEY` names; `rembg_off` where it names none that may do this."""
    name = context.settings.rembg_key
    if name is None:
        raise ProblemError("rembg_off", "PACKSHOT_REMBG_KEY names no key.")
    with context.sessions.begin() as session:
        caller = keys.acting(session, name)
    if caller is None or not {Scope.JOBS_READ, Scope.JOBS_WRITE} <= caller.scopes:
        raise ProblemError(
            "rembg_off", "The key that PACKSHOT_REMBG_KEY names is not live, or may not submit and read."
        )
    request.state.api_key_id = str(caller.id)  # for the access log
    context.limiter.count_request(request, caller)
    return caller


RembgCaller = Annotated[keys.Caller, Depends(rembg_caller)]


@router.get("")
async def remove_by_url(request: Request, context: InContext, caller: RembgCaller) -> Response:
    """Fetch a photo, wait for its cutout, answer with a PNG."""
    return await _remove(request, context, caller, Form(), _query(request))


@router.post("")
async def remove_upload(request: Request, context: InContext, caller: RembgCaller) -> Response:
    """Take a photo, wait for its cutout, answer with a PNG. Options stand in the form or in the query."""
    query = _query(request)
    form = await read_form(request, max_file_bytes=context.settings.max_upload_bytes, file_field=_FILE_FIELD)
    try:
        for name in query.keys() & form.fields.keys():
            raise duplicate(name)
        return await _remove(request, context, caller, form, {**query, **form.fields})
    finally:
        form.close()


def _query(request: Request) -> dict[str, Any]:
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    if len(query) < len(pairs):
        raise duplicate(next(name for name in query if len(request.query_params.getlist(name)) > 1))
    return query


async def _remove(
    request: Request, context: InContext, caller: keys.Caller, form: Form, given: dict[str, Any]
) -> StreamingResponse:
    wanted = translate(given, models=context.models.names)
    # rembg takes the first frame of an animation, and its clients send GIFs.
    fields: dict[str, Any] = {"outputs": [wanted.output], "animated": "first_frame"}
    if wanted.image_url is not None:
        fields["image_url"] = wanted.image_url
    if wanted.model is not None:
        fields["model"] = wanted.model
    result = await run(request, context, caller, form, fields)
    headers = {"Content-Length": str(result.output.bytes)}
    return StreamingResponse(chunks(result.file), headers=headers, media_type=MEDIA_TYPES[result.output.format])
